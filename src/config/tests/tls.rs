//! TLS settings.

use std::fs;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use tempfile::TempDir;

use super::*;

/// Not part of every gateway's settings.
pub(super) const NAMES: [&str; 3] = ["tls-cert", "tls-key", "tls-client-ca"];

struct Files(TempDir);

impl Files {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn put(&self, name: &str, text: &str) -> String {
        let path = self.0.path().join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    /// A certificate and its key.
    fn issued(&self, name: &str) -> [String; 2] {
        let issued = generate_simple_self_signed([name.to_owned()]).unwrap();
        let CertifiedKey { cert, signing_key } = issued;
        [
            self.put(&format!("{name}.crt"), &cert.pem()),
            self.put(&format!("{name}.key"), &signing_key.serialize_pem()),
        ]
    }
}

fn mistakes(flags: Pairs<'_>) -> Vec<String> {
    let said = with_path(flags, &[], None).expect_err("a mistake");
    said.lines().map(str::to_owned).collect()
}

#[test]
fn it_is_off_or_whole() {
    let files = Files::new();
    let [certificate, key] = files.issued("a");
    let cert = ("tls-cert", certificate.as_str());
    let key = ("tls-key", key.as_str());
    let ca = ("tls-client-ca", certificate.as_str());
    assert!(with_path(&[], &[], None).unwrap().tls.is_none());
    assert!(with_path(&[cert, key], &[], None).unwrap().tls.is_some());
    let shown = format!("{:?}", with_path(&[cert, key, ca], &[], None).unwrap());
    assert!(shown.contains(key.1), "the name of the file: {shown}");
    let secret = fs::read_to_string(key.1).unwrap();
    let secret = secret.lines().nth(1).unwrap();
    assert!(!shown.contains(secret), "and not what is in it");
    let needs_key = "--tls-cert: needs --tls-key too";
    let needs_cert = "--tls-key: needs --tls-cert too";
    let needs_both = "--tls-client-ca: needs --tls-cert and --tls-key too";
    assert_eq!(mistakes(&[cert]), [needs_key]);
    assert_eq!(mistakes(&[key]), [needs_cert]);
    assert_eq!(mistakes(&[key, ca]), [needs_cert, needs_both]);
    let said = mistakes(&[("tls-cert", ""), key]);
    assert_eq!(said[0], "--tls-cert: cannot be empty");
}

#[test]
fn a_variable_and_the_file_name_them_too() {
    let files = Files::new();
    let [certificate, key] = files.issued("a");
    let toml = format!("tls-key = {key:?}");
    let variables = [("PGFAN_TLS_CERT", certificate.as_str())];
    assert!(resolve(&[], &variables, &toml).unwrap().tls.is_some());
    let variables = [("PGFAN_TLS_CERT", "/nonexistent/a")];
    let said = resolve(&[], &variables, &toml).unwrap_err();
    let start = "PGFAN_TLS_CERT: /nonexistent/a: ";
    assert!(said.starts_with(start), "{said}");
}

#[test]
fn each_file_that_does_not_do_is_named_with_its_rule() {
    let files = Files::new();
    let [certificate, key] = files.issued("a");
    let [_, other] = files.issued("b");
    let empty = files.put("empty", "");
    let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n\
                     -----END ENCRYPTED PRIVATE KEY-----\n";
    let encrypted = files.put("encrypted", encrypted);
    let said = |cert: &str, key: &str, ca: &str| {
        mistakes(&[("tls-cert", cert), ("tls-key", key), ("tls-client-ca", ca)])
    };
    let another = format!("--tls-key: {other}: not the key of the certificate in {certificate}");
    assert_eq!(said(&certificate, &other, &certificate), [another]);
    let both = [&certificate, &key].map(|path| fs::read_to_string(path).unwrap());
    let other_certificate = fs::read_to_string(other.replace(".key", ".crt")).unwrap();
    let order = files.put("order", &format!("{other_certificate}{}", both[0]));
    let rule = "certificate 1 is not the one of the key, but certificate 2 is";
    let wrong = format!("--tls-cert: {order}: {rule}");
    assert_eq!(said(&order, &key, &certificate), [wrong]);
    let none = "holds no certificate as PEM";
    let all = [
        format!("--tls-cert: {empty}: {none}"),
        format!("--tls-key: {empty}: holds no private key as PEM"),
        format!("--tls-client-ca: {key}: {none}"),
    ];
    assert_eq!(said(&empty, &empty, &key), all);
    let rule = "an encrypted key is not supported, decrypt it";
    let decrypt = format!("--tls-key: {encrypted}: {rule}");
    assert_eq!(said(&certificate, &encrypted, &certificate), [decrypt]);
    let garbage = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let garbage = files.put("garbage", garbage);
    for (cert, ca, name) in [
        (&garbage, &certificate, "tls-cert"),
        (&certificate, &garbage, "tls-client-ca"),
    ] {
        let said = said(cert, &key, ca);
        let start = format!("--{name}: {garbage}: certificate 1 is not an X.509 certificate");
        assert!(said.len() == 1 && said[0].starts_with(&start), "{said:?}");
    }
    for path in ["/nonexistent/key", "/dev/zero", "/"] {
        let said = mistakes(&[("tls-cert", path), ("tls-key", path)]);
        assert_eq!(said.len(), 2, "{said:?}");
        for (said, name) in said.iter().zip(NAMES) {
            let start = format!("--{name}: {path}: ");
            assert!(said.starts_with(&start), "{said}");
        }
    }
}
