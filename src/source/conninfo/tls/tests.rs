use std::fs;
use std::os::unix::fs::PermissionsExt;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use tempfile::TempDir;

use super::super::settings::tests::settings;
use super::super::verifier::Check;
use super::*;

/// A home folder with a self-signed certificate, which serves as root and as the client's own.
struct Home(TempDir);

impl Home {
    fn new() -> Self {
        let home = Self(tempfile::tempdir().expect("temp dir"));
        fs::create_dir(home.0.path().join(".postgresql")).expect("mkdir");
        home
    }

    fn write(&self, name: &str, text: &str, mode: u32) -> &Self {
        let path = self.0.path().join(".postgresql").join(name);
        fs::write(&path, text).expect("write");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("chmod");
        self
    }

    fn read(&self, text: &str) -> Result<TlsSettings, String> {
        let mut mistakes = Mistakes::default();
        let tls = TlsSettings::read(&settings(text), Some(self.0.path()), &mut mistakes);
        tls.ok_or_else(|| mistakes.into_vec()[0].to_string())
    }

    /// The problem that prevents a connector, without the path.
    fn problem(&self, text: &str) -> String {
        let error = self
            .read(text)
            .expect("valid settings")
            .connector()
            .map(|_| ())
            .expect_err(text);
        error
            .to_string()
            .replace(&self.0.path().display().to_string(), "~")
    }

    fn works(&self, text: &str) {
        let result = self.read(text).expect("valid settings").connector();
        assert_eq!(result.map(|_| ()), Ok(()), "{text}");
    }
}

fn pair() -> (String, String) {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(vec!["localhost".to_owned()]).expect("signing works");
    (cert.pem(), signing_key.serialize_pem())
}

#[test]
fn modes_and_their_default() {
    let home = Home::new();
    for (text, mode) in [
        ("", SslMode::Prefer),
        ("sslmode=disable", SslMode::Disable),
        ("sslmode=verify-ca", SslMode::VerifyCa),
        ("sslrootcert=system", SslMode::VerifyFull),
        ("sslrootcert=a", SslMode::Prefer),
    ] {
        assert_eq!(home.read(text).expect(text).mode, mode, "{text}");
    }
}

#[test]
fn contradictions_are_refused() {
    for (text, expected) in [
        (
            "sslmode=verify",
            "sslmode (connection string) must be one of disable, allow, prefer, require, verify-ca, verify-full",
        ),
        (
            "sslmode=require sslrootcert=system",
            "sslmode (connection string) must be verify-full with sslrootcert=system",
        ),
        (
            "sslnegotiation=direct",
            "sslnegotiation (connection string) must not be direct with an sslmode below require",
        ),
        (
            "ssl_min_protocol_version=TLSv1.3 ssl_max_protocol_version=TLSv1.2",
            "ssl_min_protocol_version (connection string) must not be above ssl_max_protocol_version",
        ),
        (
            "ssl_max_protocol_version=TLSv1.1",
            "ssl_max_protocol_version (connection string) must be one of , TLSv1.2, TLSv1.3",
        ),
        (
            "sslsni=yes",
            "sslsni (connection string) must be one of 0, 1",
        ),
    ] {
        assert_eq!(Home::new().read(text).map(|_| ()), Err(expected.to_owned()));
    }
}

#[test]
fn verifying_needs_a_root_file() {
    let home = Home::new();
    for mode in ["verify-ca", "verify-full"] {
        let rule =
            "does not exist: give the file, set sslrootcert=system, or choose a weaker sslmode";
        assert_eq!(
            home.problem(&format!("sslmode={mode}")),
            format!("sslrootcert: ~/.postgresql/root.crt: {rule}")
        );
    }
    home.works("sslmode=require");
    home.write("root.crt", &pair().0, 0o644);
    home.works("sslmode=verify-full");
}

#[test]
fn require_verifies_once_there_is_a_root_file() {
    let home = Home::new();
    let check = || {
        home.read("sslmode=require")
            .and_then(|tls| tls.check().map_err(|error| error.to_string()))
    };
    assert!(matches!(check(), Ok(Check::Nothing)));
    home.write("root.crt", &pair().0, 0o644);
    assert!(matches!(check(), Ok(Check::Chain(_))));
}

#[test]
fn weak_modes_do_not_read_the_root_file() {
    let home = Home::new();
    home.write("root.crt", "rubbish", 0o644)
        .works("sslmode=prefer");
    home.works("sslmode=allow");
    assert_eq!(
        home.problem("sslmode=require"),
        "sslrootcert: ~/.postgresql/root.crt: holds no PEM certificate"
    );
}

#[test]
fn a_named_root_file_must_exist() {
    let text = Home::new().problem("sslmode=require sslrootcert=/nonexistent");
    assert_eq!(
        text,
        "sslrootcert: /nonexistent: No such file or directory (os error 2)"
    );
}

#[test]
fn the_default_revocation_list_is_not_overlooked() {
    let home = Home::new();
    home.write("root.crt", &pair().0, 0o644)
        .write("root.crl", "", 0o644);
    let rule = "revocation lists are not supported, libpq would use this one";
    assert_eq!(
        home.problem("sslmode=verify-ca"),
        format!("sslcrl: ~/.postgresql/root.crl: {rule}")
    );
    home.works("sslmode=prefer");
}

#[test]
fn the_client_certificate_is_used_when_it_is_there() {
    let home = Home::new();
    let (certificate, key) = pair();
    home.works("sslmode=require");
    home.write("postgresql.crt", &certificate, 0o644);
    assert!(
        home.problem("sslmode=require")
            .starts_with("sslkey: ~/.postgresql/postgresql.key: No such file")
    );
    home.write("postgresql.key", &key, 0o600)
        .works("sslmode=require");
    home.write("postgresql.key", &pair().1, 0o600);
    assert!(
        home.problem("sslmode=require")
            .starts_with("sslcert: ~/.postgresql/postgresql.crt: "),
        "a foreign key"
    );
    home.works("sslmode=require sslcertmode=disable");
}

#[test]
fn a_named_client_certificate_must_exist() {
    let text = Home::new().problem("sslmode=require sslcert=/nonexistent");
    assert_eq!(
        text,
        "sslcert: /nonexistent: No such file or directory (os error 2)"
    );
}

#[test]
fn a_named_certificate_is_not_dropped_for_want_of_a_home() {
    let settings = settings("sslmode=require sslcert=/nonexistent");
    let tls = TlsSettings::read(&settings, None, &mut Mistakes::default());
    let result = tls.expect("valid settings").connector().map(|_| ());
    assert!(matches!(
        result,
        Err(ConnInfoError::File {
            keyword: "sslcert",
            ..
        })
    ));
}

#[test]
fn a_key_open_to_others_is_refused() {
    let home = Home::new();
    let (certificate, key) = pair();
    home.write("postgresql.crt", &certificate, 0o644);
    for mode in [0o644, 0o620, 0o601] {
        let problem = home
            .write("postgresql.key", &key, mode)
            .problem("sslmode=require");
        assert!(
            problem.contains("permissions must be 0600 or less"),
            "{mode:o}: {problem}"
        );
    }
}

#[test]
fn an_encrypted_key_is_told_apart() {
    let home = Home::new();
    let pem = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAA==\n-----END ENCRYPTED PRIVATE KEY-----\n";
    home.write("postgresql.crt", &pair().0, 0o644)
        .write("postgresql.key", pem, 0o600);
    assert!(
        home.problem("sslmode=require")
            .ends_with("an encrypted key is not supported, decrypt it")
    );
}

#[test]
fn a_key_in_place_of_its_file_is_not_repeated() {
    let home = Home::new();
    let (certificate, key) = pair();
    home.write("postgresql.crt", &certificate, 0o644);
    for key in [key.as_str(), "-----BEGIN s3cret-----"] {
        let said = home.problem(&format!("sslmode=require sslkey='{key}'"));
        assert!(said.starts_with("sslkey: "), "{said}");
        assert!(!said.contains(&key[..10]), "{said}");
    }
}
