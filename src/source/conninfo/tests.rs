use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::target::Attempts;
use super::*;

const SECRET: &str = "s3cr3t";

fn environment(variables: &[(&str, &str)]) -> impl Fn(&str) -> Option<String> {
    let map: HashMap<String, String> = variables
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    move |name| map.get(name).cloned()
}

fn resolve(text: &str) -> ConnInfo {
    let home = [("HOME", "/nonexistent")];
    ConnInfo::resolve(Some(text), &environment(&home))
        .unwrap_or_else(|mistakes| panic!("{text}: {mistakes:?}"))
}

fn mistakes(text: &str) -> Vec<String> {
    let home = [("HOME", "/nonexistent")];
    let mistakes = ConnInfo::resolve(Some(text), &environment(&home)).expect_err(text);
    mistakes.iter().map(ToString::to_string).collect()
}

fn targets(info: &ConnInfo) -> Vec<Target> {
    info.targets().expect("no certificate files are involved")
}

#[test]
fn every_host_becomes_a_target_in_order() {
    let info = resolve("postgresql://u:p@a:1,[::1]:2,%2Frun%2Fpg:3/db?sslmode=require");
    let shown: Vec<_> = targets(&info)
        .iter()
        .map(|target| (target.to_string(), target.attempts))
        .collect();
    assert_eq!(
        shown,
        [
            ("a:1/db".to_owned(), Attempts::Tls),
            ("[::1]:2/db".to_owned(), Attempts::Tls),
            ("/run/pg:3/db".to_owned(), Attempts::Plain)
        ]
    );
}

#[test]
fn modes_say_what_to_try() {
    for (mode, attempts) in [
        ("disable", Attempts::Plain),
        ("allow", Attempts::PlainThenTls),
        ("prefer", Attempts::TlsThenPlain),
        ("require", Attempts::Tls),
    ] {
        let info = resolve(&format!("host=a user=u sslmode={mode}"));
        assert_eq!(targets(&info)[0].attempts, attempts, "{mode}");
    }
}

#[test]
fn the_configuration_carries_the_settings() {
    let text =
        "host=a hostaddr=10.0.0.1 user=u password=p dbname=d options='-c x=y' application_name=n";
    let info = resolve(&format!(
        "{text} target_session_attrs=primary channel_binding=require"
    ));
    let config = &targets(&info)[0].config;
    assert_eq!(config.get_user(), Some("u"));
    assert_eq!(config.get_password(), Some(b"p".as_slice()));
    assert_eq!(config.get_dbname(), Some("d"));
    assert_eq!(config.get_options(), Some("-c x=y"));
    assert_eq!(config.get_application_name(), Some("n"));
    assert_eq!(
        config.get_hostaddrs(),
        ["10.0.0.1".parse::<std::net::IpAddr>().expect("an address")]
    );
    assert_eq!(
        config.get_channel_binding(),
        tokio_postgres::config::ChannelBinding::Require
    );
    assert_eq!(
        config.get_target_session_attrs(),
        tokio_postgres::config::TargetSessionAttrs::Any
    );
    assert_eq!(info.target_session_attrs(), TargetSessionAttrs::Primary);
}

#[test]
fn a_changed_password_file_is_seen_by_the_next_targets() {
    let folder = tempfile::tempdir().expect("temp dir");
    let path = folder.path().join("pgpass");
    let write = |text: &str| {
        fs::write(&path, text).expect("write");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("chmod");
    };
    write("a:*:*:*:one\n");
    let info = resolve(&format!("host=a,b user=u passfile={}", path.display()));
    let passwords = || {
        targets(&info)
            .iter()
            .map(|target| target.config.get_password().map(<[u8]>::to_vec))
            .collect()
    };
    let first: Vec<_> = passwords();
    assert_eq!(first, [Some(b"one".to_vec()), None]);
    write("*:*:*:*:two\n");
    let second: Vec<_> = passwords();
    assert_eq!(second, [Some(b"two".to_vec()), Some(b"two".to_vec())]);
}

#[test]
fn a_changed_password_of_a_service_is_seen_by_the_next_targets() {
    let folder = tempfile::tempdir().expect("temp dir");
    let path = folder.path().join("service");
    let write = |text: &str| fs::write(&path, text).expect("write");
    let password = |info: &ConnInfo| {
        let target = &targets(info)[0];
        target.config.get_password().map(<[u8]>::to_vec)
    };
    write("[shop]\npassword=one\nport=7\n");
    let service = format!("host=a user=u service=shop servicefile={}", path.display());
    let (info, own) = (
        resolve(&service),
        resolve(&format!("{service} password=mine")),
    );
    assert_eq!(password(&info), Some(b"one".to_vec()));
    write("[shop]\npassword=two\n");
    assert_eq!(password(&info), Some(b"two".to_vec()));
    assert_eq!(password(&own), Some(b"mine".to_vec()), "it comes first");
    fs::remove_file(&path).expect("remove");
    assert_eq!(
        password(&info),
        Some(b"one".to_vec()),
        "what was said at first"
    );
}

#[test]
fn all_mistakes_are_told_at_once() {
    let told = mistakes(
        "host=a,b port=1,2,3 sslmode=x connect_timeout=y hots=c sslcrl=d client_encoding=e",
    );
    assert_eq!(told.len(), 6, "{told:#?}");
    let told = mistakes("host=a port=x sslmode=verify-full");
    assert_eq!(
        told.len(),
        2,
        "a missing file is told together with a bad value: {told:#?}"
    );
}

#[test]
fn a_socket_needs_no_certificates() {
    let info = resolve("host=/run/pg user=u sslmode=verify-full");
    assert_eq!(targets(&info)[0].attempts, Attempts::Plain);
}

#[tokio::test]
async fn a_server_that_never_answers_costs_no_more_than_the_timeout() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = silent.local_addr().expect("bound").port();
    let info = resolve(&format!(
        "host=127.0.0.1 port={port} user=u connect_timeout=1"
    ));
    let target = targets(&info).remove(0);
    // Spawned, since callers need a future that is `Send`.
    let error = tokio::spawn(async move { target.connect().await.map(|_| ()) })
        .await
        .expect("no panic");
    let error = error.expect_err("nobody answers");
    assert_eq!(
        error.to_string(),
        format!("127.0.0.1:{port}/u: no session within 1s (connect_timeout)")
    );
    assert!(!error.ends_search());
}

#[tokio::test]
async fn a_closed_port_is_told_by_its_cause() {
    let gone = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = gone.local_addr().expect("bound").port();
    drop(gone);
    let info = resolve(&format!("host=127.0.0.1 port={port} user=u"));
    let error = targets(&info)[0]
        .connect()
        .await
        .map(|_| ())
        .expect_err("nobody listens");
    assert!(error.to_string().contains("Connection refused"), "{error}");
    assert!(error.code().is_none());
}

#[test]
fn nothing_shows_the_password() {
    let info = resolve(&format!(
        "host=a user=u password={SECRET} options='-c x={SECRET}'"
    ));
    assert!(!format!("{info:?} {:?}", targets(&info)).contains(SECRET));
    for text in [
        format!("postgres://u:pa/{SECRET}@host/db"),
        format!("postgres://u:p@{SECRET}@host/db"),
        format!("postgres://u:%{SECRET}@host/db"),
        format!("postgres://host/db?password={SECRET}=&x=1"),
        format!("host=a password=my {SECRET}"),
        format!("host=a password='{SECRET}"),
        format!("host=a port={SECRET} connect_timeout={SECRET} sslmode={SECRET} hostaddr={SECRET}"),
    ] {
        let told = mistakes(&text);
        assert!(!format!("{told:?}").contains(SECRET), "{told:?}");
    }
}
