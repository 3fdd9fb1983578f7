use std::fs;

use super::*;

/// The settings of a connection string alone.
pub(in super::super) fn settings(connection_string: &str) -> Settings {
    let mut mistakes = Mistakes::default();
    let settings = Settings::gather(Some(connection_string), &|_| None, None, &mut mistakes);
    assert_eq!(mistakes.into_vec(), [], "{connection_string}");
    settings
}

/// The value of `keyword` after a merge, and all mistakes.
fn merge(
    text: &str,
    variables: &[(&str, &str)],
    keyword: &'static str,
) -> (Option<(String, Origin)>, Vec<String>) {
    let environment = |name: &str| {
        let found = variables.iter().find(|(variable, _)| *variable == name);
        found.map(|(_, value)| (*value).to_owned())
    };
    let mut mistakes = Mistakes::default();
    let settings = Settings::gather(Some(text), &environment, None, &mut mistakes);
    let value = settings
        .get(keyword)
        .map(|setting| (setting.value.clone(), setting.origin));
    (
        value,
        mistakes
            .into_vec()
            .iter()
            .map(ToString::to_string)
            .collect(),
    )
}

fn mistakes(text: &str, variables: &[(&str, &str)]) -> Vec<String> {
    merge(text, variables, "host").1
}

#[test]
fn the_string_beats_the_service_file_beats_the_environment() {
    let folder = tempfile::tempdir().expect("temp dir");
    let file = folder.path().join("services");
    fs::write(&file, "[shop]\nport=2\nuser=service\nuser=again\n").expect("write");
    let path = file.to_str().expect("UTF-8");
    let variables = [
        ("PGSERVICEFILE", path),
        ("PGSERVICE", "shop"),
        ("PGPORT", "3"),
        ("PGUSER", "u"),
        ("PGDATABASE", "d"),
    ];
    let value = |text: &str, keyword| merge(text, &variables, keyword).0;
    let (service, string) = (Origin::ServiceFile, Origin::ConnectionString);
    assert_eq!(value("port=1", "port"), Some(("1".to_owned(), string)));
    assert_eq!(value("", "port"), Some(("2".to_owned(), service)));
    assert_eq!(value("", "user"), Some(("service".to_owned(), service)));
    assert_eq!(
        value("", "dbname"),
        Some(("d".to_owned(), Origin::Variable("PGDATABASE")))
    );
    assert_eq!(value("", "host"), None);
}

#[test]
fn an_empty_value_hides_the_lower_layers() {
    let (value, _) = merge("host=''", &[("PGHOST", "db")], "host");
    assert_eq!(value, Some((String::new(), Origin::ConnectionString)));
}

#[test]
fn the_last_value_of_a_string_counts() {
    assert_eq!(settings("port=1 port=2").text("port"), Some("2"));
    assert_eq!(settings("postgres://a?host=b").text("host"), Some("b"));
}

#[test]
fn a_service_named_in_the_string_beats_the_variable() {
    let told = mistakes(
        "service=one",
        &[("PGSERVICE", "two"), ("PGSYSCONFDIR", "/nonexistent")],
    );
    assert_eq!(
        told,
        ["definition of service \"one\" not found (connection string)"]
    );
}

#[test]
fn requiressl_is_still_a_demand() {
    let (value, _) = merge("", &[("PGREQUIRESSL", "1")], "sslmode");
    assert_eq!(
        value,
        Some(("require".to_owned(), Origin::Variable("PGREQUIRESSL")))
    );
    let (value, _) = merge(
        "",
        &[("PGREQUIRESSL", "1"), ("PGSSLMODE", "disable")],
        "sslmode",
    );
    assert_eq!(
        value,
        Some(("disable".to_owned(), Origin::Variable("PGSSLMODE")))
    );
}

#[test]
fn unknown_keywords_are_named_one_by_one() {
    assert_eq!(
        mistakes("hots=a prot=1 host=b", &[]),
        [
            "connection string, character 1: libpq has no keyword of this name, but `host`",
            "connection string, character 8: libpq has no keyword of this name, but `port`"
        ]
    );
    assert_eq!(
        mistakes("postgres://h?ssl=false", &[]),
        [
            "connection string, character 14: `ssl` is a setting of asyncpg, JDBC and node-postgres \
             and not of libpq"
        ]
    );
}

#[test]
fn what_cannot_be_kept_is_refused() {
    for (text, expected) in [
        (
            "sslcrl=a",
            "sslcrl (connection string) cannot be honoured: revocation lists are not supported",
        ),
        (
            "gssencmode=require",
            "gssencmode (connection string) must be one of disable, prefer: GSSAPI is not supported",
        ),
        (
            "requirepeer=postgres",
            "requirepeer (connection string) cannot be honoured: the owner of a socket cannot be checked",
        ),
        (
            "replication=database",
            "replication (connection string) must be one of false, off, no, 0: a replication session cannot LISTEN",
        ),
    ] {
        assert_eq!(mistakes(text, &[]), [expected]);
    }
    let told = mistakes(
        "",
        &[
            ("PGREQUIREAUTH", "scram-sha-256"),
            ("PGSSLCRLDIR", "d"),
            ("PGGSSENCMODE", "disable"),
        ],
    );
    assert_eq!(told.len(), 2, "{told:?}");
    for text in [
        "sslcrl=''",
        "gssencmode=disable",
        "replication=0",
        "krbsrvname=x sslpassword=y sslcompression=1",
    ] {
        assert_eq!(mistakes(text, &[]), [""; 0], "{text}");
    }
}

#[test]
fn a_broken_string_does_not_hide_the_other_mistakes() {
    let told = mistakes("host", &[("PGREQUIREPEER", "x")]);
    assert_eq!(told.len(), 2, "{told:?}");
}
