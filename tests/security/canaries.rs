//! Attack 20: secrets that the gateway knows must not be disclosed in any
//! failure. The log level is the most detailed one.

use std::{collections::HashMap, fs, panic::catch_unwind};

use pgfan::config::{Config, TokenSettings};
use tokio::process::Command;

use crate::{
    secured::Secured,
    support::{
        certificates::Authority,
        gateway_process::{GatewayProcess, pgfan},
        get, get_h2,
        program::run,
        tls::Certificates,
        until,
    },
    tokens::base64,
};

/// Password of the database; in a URI the colon has to be escaped.
const PASSWORD: &str = "s3cr3t-canary-of-the-database";

/// Secret of the tokens.
const SECRET: &str = "s3cr3t-canary-of-the-tokens-of-32-bytes";

/// Content of files that should hold something else.
const CONTENT: &str = "s3cr3t-canary-of-a-file";

/// Pages that a client can read.
const PAGES: [&str; 7] = [
    "/",
    "/metrics",
    "/healthz",
    "/readyz",
    "/up",
    "/v1/sse?channel=a",
    "/v1/ws",
];

/// Checks that the text contains none of them, in plain or encoded form.
fn is_silent(what: &str, said: &str) {
    for canary in [PASSWORD, SECRET, CONTENT] {
        let numbers = format!("{:?}", canary.as_bytes());
        let numbers = &numbers[1..numbers.len() - 1];
        for form in [canary, &canary[..20], &base64(canary)[..20], numbers] {
            let line = said.lines().find(|line| line.contains(form));
            assert_eq!(line, None, "{what}: {form}");
        }
    }
}

fn talkative(variables: &[(&str, &str)]) -> Command {
    let mut command = pgfan();
    command
        .arg("serve")
        .env("RUST_LOG", "trace")
        .env("RUST_BACKTRACE", "full");
    command.env("PGFAN_TOKEN_SECRET", SECRET);
    command.env("PGFAN_SUBSCRIBE_TIMEOUT", "100ms");
    command.envs(variables.iter().copied());
    command
}

/// Serves until `expected` is logged, and then requests every page.
async fn served(what: &str, variables: &[(&str, &str)], expected: &str) {
    let mut gateway = GatewayProcess::serve(&mut talkative(variables)).await;
    gateway.logged(expected).await;
    let arguments = fs::read(format!("/proc/{}/cmdline", gateway.program.pid())).unwrap();
    let mut told = String::from_utf8_lossy(&arguments).into_owned();
    for path in PAGES {
        for answer in [
            get(gateway.address, path, &[]).await,
            get_h2(gateway.address, path).await,
        ] {
            told.push_str(&format!("{:?} {:?}\n", answer.headers, answer.body));
        }
    }
    is_silent(what, &told);
    let log = gateway.stop().await.stderr;
    assert!(log.contains("TRACE"), "that is not all: {log}");
    is_silent(what, &log);
}

#[tokio::test(flavor = "multi_thread")]
async fn attack_20_whatever_befalls_the_database() {
    let server = Secured::new().await;
    let password = format!("password={PASSWORD}");
    let wrong = server.settings("scram", "db.test", &format!("{password} sslmode=require"));
    served("a wrong password", &[("DATABASE_URL", &wrong)], "28P01").await;
    let nobody = server.settings("nobody", "db.test", &password);
    served("a wrong role", &[("DATABASE_URL", &nobody)], "28000").await;
    let stranger = server.file("bad.crt", &Authority::new("bad").certificate);
    let more = format!("{password} sslmode=verify-full sslrootcert={stranger}");
    let distrusted = server.settings("scram", "db.test", &more);
    served(
        "a TLS error",
        &[("DATABASE_URL", &distrusted)],
        "UnknownIssuer",
    )
    .await;
    let dead = format!("postgresql://u:{PASSWORD}@127.0.0.1:1/d?connect_timeout=2");
    served(
        "a dead host",
        &[("DATABASE_URL", &dead)],
        "connecting again after a pause",
    )
    .await;
    let variables = [
        ("PGHOST", "host.invalid"),
        ("PGPASSWORD", PASSWORD),
        ("PGUSER", "u"),
    ];
    served("no such host", &variables, "connecting again after a pause").await;
}

/// It does not start, and names the rule.
async fn refused(what: &str, variables: &[(&str, &str)], rule: &str) {
    for command in ["serve", "check"] {
        let mut refused = pgfan();
        refused
            .arg(command)
            .env("RUST_LOG", "trace")
            .envs(variables.iter().copied());
        let ended = run(&mut refused).await;
        let said = format!("{}{}", ended.stdout, ended.stderr);
        assert_ne!(ended.status.code(), Some(0), "{what}: {said}");
        assert!(said.contains(rule), "{what}: {said}");
        is_silent(what, &said);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn attack_20_settings_that_cannot_be() {
    let certificates = Certificates::new();
    let pem = |label: &str| {
        format!(
            "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
            base64(CONTENT)
        )
    };
    certificates.write("text", CONTENT);
    certificates.write("no-key", &pem("PRIVATE KEY"));
    certificates.write("encrypted", &pem("ENCRYPTED PRIVATE KEY"));
    certificates.write("no-certificate", &pem("CERTIFICATE"));
    let path = |name: &str| certificates.path(name);
    let (cert, key) = (path("cert"), path("key"));
    for (cert, key, rule) in [
        (&path("text"), &key, "holds no certificate"),
        (&cert, &path("text"), "holds no private key"),
        (&cert, &path("no-key"), "PGFAN_TLS_KEY: "),
        (&cert, &path("encrypted"), "decrypt it"),
        (&path("no-certificate"), &key, "PGFAN_TLS_CERT: "),
    ] {
        let files = [("PGFAN_TLS_CERT", cert.as_str()), ("PGFAN_TLS_KEY", key)];
        refused("a file of TLS", &files, rule).await;
    }
    for (name, rule) in [
        ("PGFAN_TOKEN_KEY_FILE", "holds no public key"),
        ("PGFAN_JWKS_FILE", "not a JWKS document"),
        ("PGFAN_TOKEN_SECRET_FILE", "at least 32 bytes"),
        ("PGFAN_CONFIG", "line 1"),
    ] {
        refused("a file of keys", &[(name, &path("text"))], rule).await;
    }
    let client = format!(
        "host=db.test sslmode=require sslcert={} sslkey={}",
        cert,
        path("text")
    );
    refused(
        "a key for the database",
        &[("DATABASE_URL", &client)],
        "sslkey",
    )
    .await;
    for text in [
        format!("postgresql://u:{PASSWORD}@h:port/d"),
        format!("postgresql://u:p@{PASSWORD}@h:1:2/d"),
        format!("host=h password='{PASSWORD}"),
        format!("host=h {PASSWORD}"),
        format!("host=h sslmode=odd password={PASSWORD}"),
    ] {
        refused(
            "a connection string",
            &[("DATABASE_URL", &text)],
            "DATABASE_URL",
        )
        .await;
    }
}

/// The old certificate is kept, and the content of the new file is not
/// disclosed.
#[tokio::test(flavor = "multi_thread")]
async fn attack_20_a_certificate_that_turns_bad() {
    let certificates = Certificates::new();
    let settings = certificates.settings();
    let mut command = talkative(&[("PGHOST", "127.0.0.1"), ("PGPORT", "1"), ("PGUSER", "u")]);
    for (name, path) in &settings {
        command.args([format!("--{name}"), path.clone()]);
    }
    let gateway = GatewayProcess::serve(&mut command).await;
    certificates.write("key", CONTENT);
    until("it is told", || async {
        let _ = certificates.client().connect(gateway.address, "").await;
        gateway
            .program
            .stderr
            .text()
            .contains("the old certificate is kept")
    })
    .await;
    is_silent("a bad key", &gateway.stop().await.stderr);
}

/// The program panics through a setting of its runtime: after it has read its
/// settings, and with a backtrace.
#[tokio::test(flavor = "multi_thread")]
async fn attack_20_a_panic() {
    let url = format!("postgresql://u:{PASSWORD}@127.0.0.1:1/d");
    let mut command = talkative(&[("DATABASE_URL", &url), ("TOKIO_WORKER_THREADS", "0")]);
    let ended = run(&mut command).await;
    assert_eq!(ended.status.code(), Some(101), "{ended:?}");
    assert!(ended.stderr.contains("panicked at"), "{ended:?}");
    is_silent("a panic", &format!("{ended:?}{}", ended.stderr));
}

/// Debug output of the settings, as a panic would print it.
#[test]
fn attack_20_no_setting_is_printed() {
    let certificates = Certificates::new();
    certificates.write("secret", SECRET);
    let url = format!("postgresql://u:{PASSWORD}@127.0.0.1:1/d?options=-cx%3D{PASSWORD}");
    let secret_file = certificates.path("secret");
    let jwks = format!("http://localhost:1/{SECRET}?key={SECRET}");
    for (name, value) in [
        ("token-secret", SECRET),
        ("token-secret-file", secret_file.as_str()),
        ("jwks-url", jwks.as_str()),
    ] {
        let flags = [("database-url", url.as_str()), (name, value)].into_iter();
        let tls = certificates.settings();
        let tls = tls.iter().map(|(name, path)| (*name, path.as_str()));
        let flags: HashMap<_, _> = flags
            .chain(tls)
            .map(|(n, v)| (n.to_owned(), v.to_owned()))
            .collect();
        let config = Config::resolve(&flags, &|_| None, None).unwrap();
        let token = TokenSettings::resolve(&flags, &|_| None, None).unwrap();
        let printed = format!("{config:?}{config:#?}{token:?}{token:#?}");
        assert!(printed.len() > 1000, "{printed}");
        is_silent(name, &printed);
        let key = fs::read_to_string(certificates.path("key")).unwrap();
        let body = key.lines().nth(1).unwrap();
        assert!(!printed.contains(body), "the key of TLS");
        let panic = catch_unwind(|| panic!("{printed}")).unwrap_err();
        is_silent(name, panic.downcast_ref::<String>().unwrap());
    }
}
