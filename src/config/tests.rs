mod access;
mod mistakes;
mod tls;

use std::io::Write;

use tempfile::NamedTempFile;

use super::*;
use crate::hub::Limits;

type Pairs<'a> = &'a [(&'a str, &'a str)];

fn value(pairs: Pairs<'_>, name: &str) -> Option<String> {
    let pair = pairs.iter().find(|(known, _)| *known == name)?;
    Some(pair.1.to_owned())
}

fn with_path(
    flags: Pairs<'_>,
    variables: Pairs<'_>,
    file: Option<&Path>,
) -> Result<Config, String> {
    let flags = flags.iter().map(|(n, v)| (n.to_string(), v.to_string()));
    // Without a user's name the machine causes another mistake.
    let environment =
        |name: &str| value(variables, name).or_else(|| (name == "PGUSER").then(|| "ann".into()));
    let config = Config::resolve(&flags.collect(), &environment, file);
    config.map_err(|mistakes| mistakes.to_string())
}

/// One line per mistake, with `FILE` for the file's path.
fn resolve(flags: Pairs<'_>, variables: Pairs<'_>, toml: &str) -> Result<Config, String> {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(toml.as_bytes()).unwrap();
    let path = file.path().display().to_string();
    let config = with_path(flags, variables, Some(file.path()));
    config.map_err(|mistakes| mistakes.replace(&path, "FILE"))
}

fn flag(name: &str, text: &str) -> Result<Config, String> {
    with_path(&[(name, text)], &[], None)
}

#[test]
fn a_flag_beats_a_variable_a_variable_the_file_and_the_file_the_default() {
    let (flags, variables) = ([("history-events", "1")], [("PGFAN_HISTORY_EVENTS", "2")]);
    let toml = "history-events = 3";
    let table: [(Pairs<'_>, Pairs<'_>, _, _); 4] = [
        (&flags, &variables, toml, 1),
        (&[], &variables, toml, 2),
        (&[], &[], toml, 3),
        (&[], &[], "", 1024),
    ];
    for (flags, variables, toml, expected) in table {
        let config = resolve(flags, variables, toml).unwrap();
        assert_eq!(config.hub.history.events, expected);
    }
}

#[test]
fn the_database_is_looked_for_in_five_places() {
    let flags = [("database-url", "postgresql:///a")];
    let own = ("PGFAN_DATABASE_URL", "postgresql:///b");
    let common = ("DATABASE_URL", "dbname=d");
    let libpq = [("PGDATABASE", "e"), ("PGAPPNAME", "named")];
    let toml = "database-url = 'postgresql:///c'";
    let table: [(Pairs<'_>, Pairs<'_>, _, _); 5] = [
        (&flags, &[own, common, libpq[0], libpq[1]], toml, "a"),
        (&[], &[own, common, libpq[0], libpq[1]], toml, "b"),
        (&[], &[common, libpq[0], libpq[1]], toml, "c"),
        (&[], &[common, libpq[0], libpq[1]], "", "d"),
        (&[], &libpq, "", "e"),
    ];
    for (flags, variables, toml, expected) in table {
        let config = resolve(flags, variables, toml).unwrap();
        let database = format!("{:?}", config.database);
        assert!(
            database.contains(&format!("database: {expected:?}")),
            "{database}"
        );
        assert!(
            database.contains("\"named\""),
            "what it leaves open: {database}"
        );
    }
}

/// As in libpq. An empty flag or key is a mistake.
#[test]
fn an_empty_variable_is_an_unset_one() {
    let empty = [
        "PGFAN_LISTEN",
        "PGFAN_DATABASE_URL",
        "PGFAN_ALLOW_PUBLISH",
        "PGHOST",
    ];
    let empty: Vec<_> = empty.iter().map(|name| (*name, "")).collect();
    let variables = [&empty[..], &[("DATABASE_URL", "dbname=d")]].concat();
    let config = resolve(&[], &variables, "listen = '[::1]:80'").unwrap();
    assert_eq!(config.listen.to_string(), "[::1]:80");
    assert!(format!("{:?}", config.database).contains("database: \"d\""));
    assert!(resolve(&[], &[("DATABASE_URL", "")], "").is_ok());
    assert!(flag("listen", "").is_err());
    assert!(resolve(&[], &[], "listen = ''").is_err());
}

#[test]
fn each_setting_arrives_where_it_belongs() {
    let toml = "
        listen = '127.0.0.2:1'\n admin-listen = '127.0.0.3:2'\n log-format = 'json'
        database-url = 'dbname=x'\n allow-publish = true
        history-events = 1\n history-bytes = '2MiB'\n history-age = '3s'
        linger = '4s'\n heartbeat-interval = '5s'\n heartbeat-timeout = '6s'
        keepalive = '7s'\n subscribe-timeout = '8s'\n write-timeout = '9s'
        drain-timeout = '10s'\n max-client-frame = 1100
        max-readers = 12\n max-channels = 13\n max-channels-per-reader = 14
        max-channels-per-client = 22
        max-readers-per-address = 15\n trusted-proxies = '10.0.0.1,fd00::/8'
        max-readers-per-token = 16\n max-publish-rate = 17\n max-frame-rate = 18
        request-timeout = '19s'\n max-header-bytes = 20000\n max-streams = 21
        console = false";
    let config = resolve(&[], &[], toml).unwrap();
    let s = Duration::from_secs;
    assert_eq!(config.listen.to_string(), "127.0.0.2:1");
    let admin = config.admin_listen.map(|address| address.to_string());
    assert_eq!(admin.as_deref(), Some("127.0.0.3:2"));
    assert_eq!(config.log_format, LogFormat::Json);
    assert!(config.auth.allow_publish);
    assert_eq!(config.drain_timeout, s(10));
    let (heartbeat_interval, heartbeat_timeout) = (s(5), s(6));
    assert_eq!(
        config.source,
        source::Config {
            heartbeat_interval,
            heartbeat_timeout
        }
    );
    let history = Limits {
        events: 1,
        bytes: 2 << 20,
        age: s(3),
    };
    let expected = hub::Config {
        history,
        linger: s(4),
        subscribe_timeout: s(8),
        max_readers: 12,
        max_channels: 13,
        max_channels_per_client: 22,
        max_channels_per_reader: 14,
    };
    assert_eq!(config.hub, expected);
    let (keepalive, write_timeout) = (s(7), s(9));
    let expected = transport::Settings {
        keepalive,
        max_client_frame: 1100,
        max_frame_rate: 18,
        write_timeout,
        request_timeout: s(19),
        max_header_bytes: 20000,
        max_streams: 21,
        console: false,
    };
    assert_eq!(config.transport, expected);
    let proxies = ["10.0.0.1", "fd00::/8"].map(|text| text.parse().unwrap());
    let expected = transport::Limits {
        readers_per_address: 15,
        readers_per_token: 16,
        publish_rate: 17,
        proxies: proxies.to_vec().into(),
    };
    assert_eq!(config.limits, expected);
    let is_there = |setting: &&Setting| toml.contains(&format!(" {} =", setting.name));
    let missing = SETTINGS.iter().filter(|setting| !is_there(setting));
    let missing: Vec<_> = missing.map(|setting| setting.name).collect();
    let absent = [&["otlp-endpoint"][..], &tls::NAMES, &access::NAMES].concat();
    assert_eq!(missing, absent, "none is left out");
}

/// So that help and guide show the value in use.
#[test]
fn the_default_that_is_shown_is_the_one_that_is_used() {
    let unset = format!("{:?}", with_path(&[], &[], None).unwrap());
    let words = [
        "the libpq variables",
        "the gateway's host",
        "half of --max-readers, or of the open files",
        "half of --max-channels",
        "none",
    ];
    let values = SETTINGS.iter().filter(|s| !words.contains(&s.default));
    for setting in values {
        let set = flag(setting.name, setting.default).unwrap();
        assert_eq!(format!("{set:?}"), unset, "{}", setting.name);
    }
}

#[test]
fn every_number_has_its_bounds() {
    let (tenth, hour) = (["100ms", "99ms"], ["1h", "3601s"]);
    let table = [
        ("history-events", ["1", "0"], ["10000000", "10000001"]),
        ("history-bytes", ["1MiB", "1048575"], ["1TiB", "1025GiB"]),
        ("history-age", ["1s", "999ms"], ["30days", "31days"]),
        ("linger", ["0s", "-1s"], ["24h", "86401s"]),
        ("heartbeat-interval", tenth, hour),
        ("heartbeat-timeout", tenth, hour),
        ("keepalive", tenth, hour),
        ("subscribe-timeout", tenth, hour),
        ("write-timeout", ["1s", "999ms"], hour),
        ("drain-timeout", ["0s", "-1s"], hour),
        ("max-client-frame", ["1KiB", "1023"], ["16MiB", "16777217"]),
        ("request-timeout", ["1s", "999ms"], hour),
        ("max-header-bytes", ["8KiB", "8191"], ["1MiB", "1048577"]),
        ("max-streams", ["1", "0"], ["1000000", "1000001"]),
        ("max-readers", ["1", "0"], ["10000000", "10000001"]),
        ("max-channels", ["1", "0"], ["1000000", "1000001"]),
        (
            "max-channels-per-client",
            ["1", "0"],
            ["10000000", "10000001"],
        ),
        (
            "max-channels-per-reader",
            ["1", "0"],
            ["1000000", "1000001"],
        ),
        (
            "max-readers-per-address",
            ["1", "0"],
            ["10000000", "10000001"],
        ),
        (
            "max-readers-per-token",
            ["1", "0"],
            ["10000000", "10000001"],
        ),
        ("max-publish-rate", ["1", "0"], ["10000000", "10000001"]),
        ("max-frame-rate", ["1", "0"], ["10000000", "10000001"]),
        ("token-leeway", ["0s", "-1s"], ["1m", "61s"]),
    ];
    for (name, [lowest, below], [highest, above]) in table {
        for good in [lowest, highest] {
            assert!(flag(name, good).is_ok(), "{name} {good}");
        }
        let mistake = flag(name, above).unwrap_err();
        assert!(
            mistake.starts_with(&format!("--{name}: {above:?}: must be between ")),
            "{mistake}"
        );
        for bad in [below, "", "x", "1e3", "99999999999999999999999", "-1"] {
            assert!(flag(name, bad).is_err(), "{name} {bad:?}");
        }
    }
    let words = [
        "listen",
        "admin-listen",
        "log-format",
        "otlp-endpoint",
        "database-url",
        "console",
        "allow-publish",
        "trusted-proxies",
    ];
    let others = words.len() + access::NAMES.len() - 1 + tls::NAMES.len();
    assert_eq!(table.len() + others, SETTINGS.len(), "none is left out");
}

/// A setting that this build cannot use is reported, not ignored.
#[test]
fn a_collector_takes_the_feature() {
    let url = [("PGFAN_OTLP_ENDPOINT", "http://127.0.0.1:4317")];
    let config = resolve(&[], &url, "");
    if cfg!(feature = "otlp") {
        assert!(config.unwrap().otlp.is_some());
    } else {
        let rule = "PGFAN_OTLP_ENDPOINT: this pgfan was built without the feature `otlp`";
        assert_eq!(config.unwrap_err(), rule);
    }
    assert!(flag("otlp-endpoint", "collector:4317").is_err());
    // Ignored unless spans are exported.
    let other = [("OTEL_RESOURCE_ATTRIBUTES", "x")];
    assert!(resolve(&[], &other, "").unwrap().otlp.is_none());
}

#[test]
fn what_takes_a_restart_is_told_from_what_does_not() {
    let before = resolve(&[], &[], "listen = '[::1]:80'\ndrain-timeout = '1s'").unwrap();
    for (toml, changed) in [
        (
            "listen = '[::1]:80'\ndrain-timeout = '1s'\nlinger = '1s'",
            vec![],
        ),
        ("listen = '[::1]:81'\ndrain-timeout = '1s'", vec!["listen"]),
        ("log-format = 'text'", vec!["drain-timeout", "listen"]),
    ] {
        let after = resolve(&[], &[], toml).unwrap();
        assert_eq!(before.fixed.changed(&after.fixed), changed, "{toml}");
    }
    let named = |name: &str| SETTINGS.iter().any(|setting| setting.name == name);
    assert!(settings::RESTART.iter().all(|name| named(name)));
}

#[test]
fn an_address_for_those_who_run_it_is_no_open_door_either() {
    let said = flag("admin-listen", "0.0.0.0:1").unwrap_err();
    assert!(
        said.starts_with("--admin-listen: \"0.0.0.0:1\": whoever reaches"),
        "{said}"
    );
    let config = with_path(
        &[("admin-listen", "0.0.0.0:1"), ("anonymous", "on")],
        &[],
        None,
    );
    let [warning] = &config.unwrap().warnings[..] else {
        panic!("one warning")
    };
    assert!(
        warning
            .to_string()
            .starts_with("0.0.0.0:1: speaks plain HTTP"),
        "{warning}"
    );
}

#[test]
fn nobody_alone_has_more_than_half_of_the_readers() {
    for (readers, half) in [("7", 4), ("1", 1)] {
        let limits = flag("max-readers", readers).unwrap().limits;
        let both = [limits.readers_per_address, limits.readers_per_token];
        assert_eq!(both, [half; 2], "{readers}");
    }
    for (readers, room, half) in [(100_000, usize::MAX, 50_000), (100_000, 19_936, 9968)] {
        let limits = super::limits::Limits::default().done(readers, room);
        let both = [limits.readers_per_address, limits.readers_per_token];
        assert_eq!(both, [half; 2], "{readers} {room}");
    }
}

#[test]
fn nobody_alone_has_more_than_half_of_the_channels() {
    for (channels, half) in [("7", 4), ("1", 1), ("10000", 5000)] {
        let hub = flag("max-channels", channels).unwrap().hub;
        assert_eq!(hub.max_channels_per_client, half, "{channels}");
    }
}

#[test]
fn a_proxy_that_is_none_is_named() {
    for (text, rule) in [
        ("10.0.0.1,proxy", "\"proxy\": neither an address"),
        ("0.0.0.0/0", "\"0.0.0.0/0\": everybody is no proxy"),
        ("", "\"\": neither an address"),
    ] {
        let mistake = flag("trusted-proxies", text).unwrap_err();
        let expected = format!("--trusted-proxies: {rule}");
        assert!(mistake.starts_with(&expected), "{mistake}");
    }
}

#[test]
fn sizes_times_and_switches_have_more_than_one_form() {
    for (text, bytes) in [
        ("65536", 65536),
        ("64KiB", 65536),
        ("64 KB", 64_000),
        ("1.5MiB", 3 << 19),
    ] {
        let config = flag("max-client-frame", text).unwrap();
        assert_eq!(config.transport.max_client_frame, bytes, "{text}");
    }
    for (text, millis) in [("90s", 90_000), ("1m 30s", 90_000), ("1500ms", 1500)] {
        assert_eq!(flag("linger", text).unwrap().hub.linger.as_millis(), millis);
    }
    assert!(flag("linger", "60").is_err(), "a time has a unit");
    for (texts, expected) in [
        (["true", "on", "yes", "1"], true),
        (["false", "off", "no", "0"], false),
    ] {
        for text in texts {
            assert_eq!(
                flag("allow-publish", text).unwrap().auth.allow_publish,
                expected
            );
        }
    }
    assert!(flag("allow-publish", "maybe").is_err());
    assert!(
        flag("listen", "gateway.example:8000").is_err(),
        "a name may be more than one address"
    );
    assert_eq!(
        flag("listen", "[::1]:0").unwrap().listen.to_string(),
        "[::1]:0"
    );
}
