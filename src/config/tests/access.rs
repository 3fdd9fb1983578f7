//! Access settings.

use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf};

use tempfile::TempDir;

use super::*;
use crate::auth::{TokenType, Url};

/// All of them but `allow-publish`, which is older.
pub(super) const NAMES: [&str; 17] = [
    "anonymous",
    "channels",
    "allow-origin",
    "allow-host",
    "token-secret",
    "token-secret-previous",
    "token-secret-file",
    "token-key-file",
    "jwks-file",
    "jwks-url",
    "jwks-insecure",
    "token-audience",
    "token-issuer",
    "token-type",
    "token-claim",
    "token-leeway",
    "token-cookie",
];

const SECRET: &str = "s3cret-s3cret-s3cret-s3cret-s3cret";
const PUBLIC: &str = include_str!("../../../tests/security/keys/rsa.public.pem");

fn mistakes(flags: Pairs<'_>, variables: Pairs<'_>) -> Vec<String> {
    let said = with_path(flags, variables, None).expect_err("a mistake");
    said.lines().map(str::to_owned).collect()
}

fn is_fine(flags: Pairs<'_>) -> Config {
    with_path(flags, &[], None).unwrap()
}

fn file(folder: &TempDir, name: &str, text: &str) -> String {
    let path: PathBuf = folder.path().join(name);
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    path.display().to_string()
}

/// The warnings about valid settings.
fn warned(config: &Config) -> Vec<String> {
    config.warnings.iter().map(ToString::to_string).collect()
}

/// Serving the network without tokens takes an explicit setting.
#[test]
fn an_address_of_the_network_needs_tokens_or_a_loud_word() {
    for address in [
        "0.0.0.0:1",
        "[::]:1",
        "192.168.0.1:1",
        "[::ffff:10.0.0.1]:1",
    ] {
        let listen = ("listen", address);
        let said = mistakes(&[listen], &[]);
        let rule = ": whoever reaches this address could read every channel: ";
        let start = format!("--listen: \"{address}\"{rule}");
        assert!(said[0].starts_with(&start), "{said:?}");
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(is_fine(&[listen, ("anonymous", "on")]).auth.anonymous);
        let config = is_fine(&[listen, ("token-secret", SECRET)]);
        assert!(!config.auth.anonymous && config.auth.keys.is_some());
        assert!(
            is_fine(&[listen, ("jwks-url", "http://localhost/")])
                .auth
                .keys
                .is_some()
        );
        // An invalid secret is reported without the error that it would cause.
        let said = mistakes(&[listen, ("token-secret", "short")], &[]);
        assert_eq!(
            said,
            ["--token-secret: a shared secret has at least 32 bytes"]
        );
    }
    for address in [
        "127.0.0.1:1",
        "127.1.2.3:1",
        "[::1]:1",
        "[::ffff:127.0.0.1]:1",
    ] {
        assert!(is_fine(&[("listen", address)]).auth.anonymous, "{address}");
    }
    assert!(!is_fine(&[("token-secret", SECRET)]).auth.anonymous);
}

#[test]
fn publishing_without_a_token_is_for_the_loopback() {
    let on = ("allow-publish", "on");
    assert!(is_fine(&[on]).auth.allow_publish);
    assert!(
        is_fine(&[on, ("token-secret", SECRET), ("anonymous", "on")])
            .auth
            .allow_publish
    );
    let said = mistakes(&[on, ("listen", "0.0.0.0:1"), ("anonymous", "on")], &[]);
    let expected =
        "--allow-publish: only on a loopback address; elsewhere publishing needs a token";
    assert_eq!(said, [expected]);
    let said = mistakes(&[on, ("token-secret", SECRET)], &[]);
    let expected = "--allow-publish: it is for clients without a token, and here each needs one";
    assert_eq!(said, [expected]);
    assert!(
        with_path(
            &[("allow-publish", "off"), ("token-secret", SECRET)],
            &[],
            None
        )
        .is_ok()
    );
}

#[test]
fn tokens_are_checked_with_all_that_is_given() {
    let folder = TempDir::new().unwrap();
    let (secret, pem) = (
        file(&folder, "secret", &format!("{SECRET}\n")),
        file(&folder, "pem", PUBLIC),
    );
    for (name, value) in [
        ("token-secret", SECRET),
        ("token-secret-file", &secret),
        ("token-key-file", &pem),
        ("jwks-url", "http://127.0.0.1:1/jwks"),
    ] {
        let config = is_fine(&[(name, value)]);
        assert!(config.auth.keys.is_some(), "{name}");
        assert!(!format!("{config:?}").contains("s3cret"), "{name}");
    }
    let other = file(&folder, "other", "another-s3cret-another-s3cret-another");
    let (variable, flag) = (
        ("PGFAN_TOKEN_SECRET", SECRET),
        ("token-key-file", pem.as_str()),
    );
    let config = with_path(&[flag], &[variable], None).unwrap();
    let rule = "tokens of each of them are taken; leave out what is no longer used";
    let expected = format!("PGFAN_TOKEN_SECRET, --token-key-file: {rule}");
    assert_eq!(warned(&config), [expected]);
    let list = format!("{secret}, {other}");
    let toml = format!("token-secret-file = {list:?}\ntoken-secret-previous = '{SECRET}2'");
    for config in [
        is_fine(&[("token-secret-file", &list)]),
        with_path(&[], &[("PGFAN_TOKEN_SECRET_FILE", &list)], None).unwrap(),
        resolve(&[], &[], &toml).unwrap(),
    ] {
        let shown = format!("{:?}", config.auth.keys);
        assert!(shown.matches("Fixed(").count() >= 2, "{shown}");
        assert!(!shown.contains("s3cret"), "{shown}");
    }
    // A file's name may contain a comma.
    let odd = file(&folder, "a,b", SECRET);
    assert!(is_fine(&[("token-secret-file", &odd)]).auth.keys.is_some());
    let five = [secret.as_str(); 5].join(",");
    let said = mistakes(&[("token-secret-file", &five)], &[]);
    assert_eq!(said, ["--token-secret-file: names more than 4 files"]);
    let bad = format!("{secret},/nonexistent/b");
    let said = mistakes(&[("token-secret-file", &bad)], &[]);
    let start = "--token-secret-file: /nonexistent/b: No such file";
    assert!(said.len() == 1 && said[0].starts_with(start), "{said:?}");
    let said = mistakes(&[("token-secret-previous", "s3cret")], &[]);
    let rule = "a shared secret has at least 32 bytes";
    assert_eq!(said, [format!("--token-secret-previous: {rule}")]);
}

#[test]
fn keys_that_are_none_are_named_with_their_file() {
    let folder = TempDir::new().unwrap();
    let empty = file(&folder, "empty", "");
    let short = file(&folder, "short", "s3cret\n\n");
    let private = file(&folder, "private", "-----BEGIN PRIVATE KEY-----\ns3cret");
    let json = file(&folder, "json", "{\"keys\":\n \"s3cret\"}");
    let table = [
        (
            "token-secret-file",
            &short,
            "a shared secret has at least 32 bytes",
        ),
        (
            "token-secret-file",
            &empty,
            "a shared secret has at least 32 bytes",
        ),
        (
            "token-key-file",
            &private,
            "holds a private key; the public one is needed, and enough",
        ),
        (
            "token-key-file",
            &json,
            "holds no public key of RSA, P-256, P-384 or Ed25519 as PEM",
        ),
        ("jwks-file", &json, "not a JWKS document (line 2, column 9)"),
        (
            "jwks-file",
            &empty,
            "not a JWKS document (line 1, column 0)",
        ),
    ];
    for (name, path, rule) in table {
        let said = mistakes(&[(name, path)], &[]);
        assert_eq!(said, [format!("--{name}: {path}: {rule}")]);
    }
    for name in ["token-secret-file", "token-key-file", "jwks-file"] {
        for path in ["/nonexistent/key", "/dev/zero", "/"] {
            let said = mistakes(&[(name, path)], &[]);
            assert!(
                said[0].starts_with(&format!("--{name}: {path}: ")),
                "{said:?}"
            );
            assert_eq!(said.len(), 1);
        }
    }
}

#[test]
fn keys_come_over_http_from_this_machine_alone() {
    let plain = ("jwks-url", "http://id.example/s3cret");
    let said = mistakes(&[plain], &[]);
    assert!(
        said[0].starts_with("--jwks-url: over http only from this machine"),
        "{said:?}"
    );
    assert!(!said[0].contains("s3cret"));
    assert!(with_path(&[plain, ("jwks-insecure", "on")], &[], None).is_ok());
    assert!(Url::parse("https://id.example/", false).is_ok());
}

#[test]
fn each_of_them_arrives_where_it_belongs() {
    let toml =
        "token-audience = 'a'\n token-issuer = 'i'\n token-type = 't'\n token-claim = '/x/y'\n
        token-leeway = '60s'\n token-cookie = 'c'\n anonymous = true\n
        token-secret = 's3cret-s3cret-s3cret-s3cret-s3cret'";
    let config = resolve(&[], &[], toml).unwrap();
    let expected = auth::Rules {
        audience: Some("a".into()),
        issuer: Some("i".into()),
        token_type: Some("t".parse().unwrap()),
        leeway: Duration::from_secs(60),
        claim: "/x/y".parse().unwrap(),
    };
    assert_eq!(config.auth.rules, expected);
    assert!(config.auth.anonymous && config.auth.keys.is_some());
    assert_eq!(config.browsers.cookie, "c".parse().unwrap());
}

#[test]
fn lists_say_which_part_is_wrong() {
    let config = is_fine(&[
        ("channels", "orders.*, stock"),
        ("allow-origin", "https://a,http://b:1"),
        ("allow-host", "events.example.com, my_service"),
    ]);
    let channels: Vec<_> = config
        .auth
        .channels
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(channels, ["orders.*", "stock"]);
    assert_eq!(config.browsers.allow_origin.len(), 2);
    assert_eq!(config.browsers.allow_host.len(), 2);
    for (name, text, start) in [
        ("channels", "a,ord*", "--channels: \"ord*\": "),
        ("channels", "", "--channels: \"\": "),
        ("allow-origin", "https://a,*", "--allow-origin: \"*\": "),
        ("allow-origin", "null", "--allow-origin: \"null\": "),
        ("allow-host", "a,b:8000", "--allow-host: \"b:8000\": "),
        ("allow-host", "*.a", "--allow-host: \"*.a\": "),
        ("token-cookie", "a b", "--token-cookie: "),
        ("token-claim", "", "--token-claim: "),
        ("token-audience", "", "--token-audience: "),
        ("token-issuer", "", "--token-issuer: "),
    ] {
        let said = mistakes(&[(name, text)], &[]);
        assert!(said[0].starts_with(start), "{said:?}");
    }
}

#[test]
fn a_secret_among_the_arguments_is_warned_of() {
    let rule = "the arguments of a process are public; the variable or a file is not";
    let url = "postgresql://u:s3cret@h/d";
    let config = is_fine(&[("token-secret", SECRET), ("database-url", url)]);
    let expected = ["token-secret", "database-url"].map(|name| format!("--{name}: {rule}"));
    assert_eq!(warned(&config), expected);
    for url in ["postgresql://u@h/d", "host=h user=u password=''"] {
        assert!(
            is_fine(&[("database-url", url)]).warnings.is_empty(),
            "{url}"
        );
    }
    let variables = [("PGFAN_TOKEN_SECRET", SECRET), ("PGFAN_DATABASE_URL", url)];
    let config = with_path(&[], &variables, None).unwrap();
    assert_eq!(warned(&config), Vec::<String>::new());
}

#[test]
fn a_provider_without_an_audience_is_warned_of() {
    let url = ("jwks-url", "https://id.example/jwks");
    let [warning] = &is_fine(&[url]).warnings[..] else {
        panic!("one warning")
    };
    let said = warning.to_string();
    assert!(
        said.starts_with("--jwks-url: ") && said.contains("audience"),
        "{said}"
    );
    assert!(warning.remedy().contains("--token-audience"), "{warning:?}");
    assert!(
        is_fine(&[url, ("token-audience", "pgfan")])
            .warnings
            .is_empty()
    );
}

#[test]
fn a_type_of_tokens_is_a_media_type() {
    let config = is_fine(&[("token-type", "at+jwt")]);
    let same: TokenType = "Application/AT+JWT".parse().unwrap();
    assert_eq!(config.auth.rules.token_type, Some(same));
    let said = flag("token-type", "at jwt").unwrap_err();
    let rule = "--token-type: \"at jwt\": not a media type, like at+jwt or application/at+jwt";
    assert!(said.starts_with(rule), "{said}");
}

/// Each file that a setting names, and a settings file with a secret.
#[test]
fn a_file_that_others_can_read_or_write_is_warned_of() {
    let folder = TempDir::new().unwrap();
    let secret = file(&folder, "secret", SECRET);
    let key = file(&folder, "key", PUBLIC);
    let settings = file(&folder, "pgfan.toml", "keepalive = '15s'\n");
    let with_secret = format!("token-secret = '{SECRET}'\n");
    let with_secret = file(&folder, "secret.toml", &with_secret);
    let with_password = "database-url = 'postgresql://u:s3cret@h/d'\n";
    let with_password = file(&folder, "password.toml", with_password);
    let (read, write) = ("can read the secret in it", "can write into it");
    for (setting, path, mode, fault) in [
        (Some("token-secret-file"), &secret, 0o644, Some(read)),
        (Some("token-secret-file"), &secret, 0o622, Some(write)),
        (Some("token-secret-file"), &secret, 0o400, None),
        (Some("token-key-file"), &key, 0o644, None),
        (Some("token-key-file"), &key, 0o666, Some(write)),
        (None, &settings, 0o644, None),
        (None, &settings, 0o664, Some(write)),
        (None, &with_secret, 0o604, Some(read)),
        (None, &with_password, 0o644, Some(read)),
        (None, &with_password, 0o600, None),
    ] {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        let flags: Vec<_> = setting
            .map(|name| (name, path.as_str()))
            .into_iter()
            .collect();
        let own = setting.is_none().then(|| Path::new(path));
        let config = with_path(&flags, &[], own).unwrap();
        let expected = fault.map(|fault| {
            let place = setting.map_or(String::new(), |name| format!("--{name}: "));
            format!("{place}{path}: its mode is {mode:04o}: others than its owner {fault}")
        });
        assert_eq!(warned(&config), Vec::from_iter(expected), "{path} {mode:o}");
        let remedies = config.warnings.iter().map(Mistake::remedy);
        assert!(
            remedies
                .into_iter()
                .all(|remedy| remedy.contains("chmod go-"))
        );
        assert!(!format!("{:?}", config.warnings).contains("s3cret"));
    }
}
