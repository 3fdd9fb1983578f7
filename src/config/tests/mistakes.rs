//! Errors for invalid settings.

use std::{
    io::{Write as _, pipe},
    os::fd::AsRawFd as _,
    path::PathBuf,
};

use tempfile::TempDir;

use super::{Pairs, SETTINGS, flag, resolve, with_path};

fn mistakes(flags: Pairs<'_>, variables: Pairs<'_>, toml: &str) -> String {
    resolve(flags, variables, toml).expect_err("a mistake")
}

#[test]
fn all_mistakes_are_told_at_once_and_where_they_stand() {
    let flags = [("linger", "60"), ("max-readers", "many")];
    let variables = [("PGFAN_LISTEN", "8000/tcp"), ("PGSSLMODE", "always")];
    let toml = "history_events = 5\nshop = 1\nkeepalive = [1]\nmax-channels = 0.5\n\
                database-url = 'port=x'\n[section]\nlisten = 1";
    let said = mistakes(&flags, &variables, toml);
    let expected = [
        "PGFAN_LISTEN: \"8000/tcp\": not an address and port, like 127.0.0.1:8000",
        "--linger: \"60\": not a time, like 15s or 10m",
        "--max-readers: \"many\": not a whole number",
        "FILE: line 1: history_events: there is no such setting, but `history-events`",
        "FILE: line 2: shop: there is no such setting",
        "FILE: line 3: keepalive: not a text, a whole number, or true or false",
        "FILE: line 4: max-channels: not a text, a whole number, or true or false",
        "FILE: line 6: section: there is no such setting",
        // Mistakes found beyond the single text come last.
        "FILE: line 5: database-url: port (connection string)",
        "database: sslmode (PGSSLMODE)",
    ];
    let lines: Vec<_> = said.lines().collect();
    assert_eq!(lines.len(), expected.len(), "{said}");
    for (line, start) in lines.iter().zip(expected) {
        assert!(line.starts_with(start), "{start:?} is not there in\n{said}");
    }
}

#[test]
fn a_key_with_a_slip_is_known_again() {
    for (key, near) in [
        ("histroy-age", "history-age"),
        ("keep_alive", "keepalive"),
        ("listn", "listen"),
        ("max-reader", "max-readers"),
        ("token-secretfile", "token-secret-file"),
    ] {
        let said = mistakes(&[], &[], &format!("{key} = '1'"));
        let rule = format!("FILE: line 1: {key}: there is no such setting, but `{near}`");
        assert_eq!(said, rule);
    }
    let long = "x".repeat(1 << 19);
    for key in ["port", "timeout", "history", &long] {
        let said = mistakes(&[], &[], &format!("{key} = '1'"));
        assert!(said.ends_with(": there is no such setting"), "{key}");
    }
}

#[test]
fn the_bounds_of_a_size_are_told_as_sizes() {
    let rule = "--history-bytes: \"1KiB\": must be between 1.0 MiB and 1.0 TiB";
    assert_eq!(flag("history-bytes", "1KiB").unwrap_err(), rule);
    // The suggested form is accepted.
    assert!(flag("history-bytes", "1.0 MiB").is_ok());
}

/// A second read of a pipe returns nothing, which must not be a mistake.
#[test]
fn a_pipe_is_no_file() {
    let (reader, mut writer) = pipe().unwrap();
    writer.write_all(b"channels = 'a'").unwrap();
    drop(writer);
    let path = format!("/proc/self/fd/{}", reader.as_raw_fd());
    let rule = "a pipe can be read once, and this is read again: let it be a file";
    let file = with_path(&[], &[], Some(&PathBuf::from(&path)));
    assert_eq!(file.unwrap_err(), format!("{path}: {rule}"));
    for setting in ["jwks-file", "token-key-file", "token-secret-file"] {
        let said = flag(setting, &path).unwrap_err();
        assert_eq!(said, format!("--{setting}: {path}: {rule}"));
    }
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    for path in ["/nonexistent/pgfan.toml", "/", "/dev/zero"] {
        let path = PathBuf::from(path);
        let mistake = with_path(&[], &[], Some(&path)).unwrap_err();
        assert!(
            mistake.starts_with(&format!("{}: ", path.display())),
            "{mistake}"
        );
    }
    let mistake = mistakes(&[("linger", "60")], &[], "keepalive = '1s'\n\nlinger = = 4");
    assert!(mistake.starts_with("FILE: line 3: "), "{mistake}");
    assert!(
        mistake.ends_with("\n--linger: \"60\": not a time, like 15s or 10m"),
        "{mistake}"
    );
}

#[test]
fn no_mistake_repeats_a_secret() {
    let urls = [
        "postgresql://ann:s3cret@host:port/db",
        "postgresql://ann:s3cret@[::1/db",
        "postgresql://ann:s3%ZZcret@host/db",
        "postgresql://ann@host/db?password=s3cret&sslmode=s3cret",
        "host=h password='s3cret",
        "password=s3cret port=s3cret",
    ];
    for url in urls {
        let key = format!("database-url = {url:?}\nlinger = 60");
        let unquoted = format!("database-url = {url}");
        let unended = format!("database-url = \"{url}\n");
        let said = [
            flag("database-url", url).unwrap_err(),
            mistakes(&[], &[("DATABASE_URL", url)], ""),
            mistakes(&[], &[], &key),
            mistakes(&[], &[], &unquoted),
            mistakes(&[], &[], &unended),
        ];
        assert!(said[0].starts_with("--database-url: "), "{}", said[0]);
        assert!(said[1].starts_with("DATABASE_URL: "), "{}", said[1]);
        for said in said {
            assert!(!said.contains("s3") && !said.contains("cret"), "{said}");
        }
    }
    let secret = [
        ("PGPASSWORD", "s3cret"),
        ("PGFAN_LISTEN", "postgresql://u:s3cret@h/d"),
        ("PGFAN_TOKEN_SECRET", "s3cret"),
        ("PGPORT", "s3cret"),
    ];
    assert!(!mistakes(&[], &secret, "").contains("s3cret"));
    let config = resolve(&[("database-url", "password=s3cret")], &[], "").unwrap();
    assert!(!format!("{config:?}").contains("s3cret"));
}

/// A path that exists, or looks like one, is named.
#[test]
fn a_secret_in_place_of_its_file_is_not_repeated() {
    let files = SETTINGS.iter().filter(|setting| setting.value == "FILE");
    let names: Vec<_> = files.map(|setting| setting.variable()).collect();
    let said = |text| {
        let variables: Vec<_> = names.iter().map(|name| (name.as_str(), text)).collect();
        with_path(&[], &variables, None).expect_err("mistakes")
    };
    for secret in [
        "0123456789abcdef0123456789abcdef",
        "/7gNU3sdo+OL0wNhqoVWhr3g6s1xYv72ol/pe/Unols=",
        "eyJhbGciOiJI.eyJzdWIiOiJ4In0.c2lnbmF0dXJl",
        "-----BEGIN PRIVATE KEY-----\nMC4CAQAw/w==\n-----END PRIVATE KEY-----",
        "my-secret",
    ] {
        let said = said(secret);
        for name in &names {
            let start = format!("{name}: ");
            assert!(said.lines().any(|line| line.starts_with(&start)), "{said}");
        }
        let lines = secret.lines();
        assert!(lines.clone().all(|line| !said.contains(line)), "{said}");
    }
    let folder = TempDir::with_prefix("0123456789abcdef0123456789abcdef").unwrap();
    let folder = folder.path().display().to_string();
    for path in [&folder, "/run/secrets/token", "secrets/token", "token"] {
        let lines = said(path);
        let named = names.iter().map(|name| format!("{name}: {path}: "));
        for start in named {
            assert!(
                lines.lines().any(|line| line.starts_with(&start)),
                "{lines}"
            );
        }
    }
}
