//! The arrows between the layers, as the crate's documentation draws them:
//! read from the paths in each file under `src/`, tests left out.

mod paths;

use std::{
    fmt, fs,
    path::{Path, PathBuf},
};

use paths::{code, module, named, places};

/// Each module of the crate's root, and all it may name of the others.
const ARROWS: &[(&str, &[&str])] = &[
    ("instruments", &[]),
    ("event", &[]),
    ("backoff", &[]),
    ("text", &[]),
    ("bounded_file", &[]),
    ("certificate", &[]),
    ("outgoing", &[]),
    ("turns", &[]),
    ("channel_demand", &["event"]),
    ("proto", &[]),
    ("publish", &["event"]),
    (
        "source",
        &[
            "bounded_file",
            "backoff",
            "certificate",
            "instruments",
            "channel_demand",
            "event",
            "publish",
            "text",
        ],
    ),
    ("hub", &["instruments", "channel_demand", "event"]),
    ("auth", &["bounded_file", "outgoing", "event", "turns"]),
    (
        "transport",
        &[
            "bounded_file",
            "auth",
            "certificate",
            "instruments",
            "event",
            "hub",
            "proto",
            "publish",
            "shutdown",
            "turns",
        ],
    ),
    ("client", &["backoff", "outgoing", "event", "proto", "text"]),
    (
        "config",
        &[
            "bounded_file",
            "auth",
            "hub",
            "source",
            "telemetry",
            "text",
            "transport",
            "turns",
        ],
    ),
    (
        "app",
        &[
            "auth",
            "config",
            "channel_demand",
            "event",
            "hub",
            "publish",
            "service_manager",
            "shutdown",
            "source",
            "telemetry",
            "transport",
        ],
    ),
    (
        "cli",
        &[
            "app",
            "auth",
            "certificate",
            "client",
            "config",
            "event",
            "hub",
            "temp_postgres",
            "service_manager",
            "shutdown",
            "source",
            "telemetry",
            "text",
            "transport",
        ],
    ),
    (
        "fuzz",
        &[
            "auth",
            "channel_demand",
            "event",
            "hub",
            "publish",
            "shutdown",
            "source",
            "transport",
        ],
    ),
    ("temp_postgres", &[]),
    ("service_manager", &[]),
    ("shutdown", &[]),
    (
        "telemetry",
        &[
            "backoff",
            "instruments",
            "event",
            "hub",
            "source",
            "text",
            "transport",
        ],
    ),
];

/// The rooms of `transport`, each with the rooms that it may name. The server
/// and the router are above all of them.
const ROOMS: &[(&str, &[&str])] = &[
    ("protocol", &[]),
    ("counters", &["protocol"]),
    ("access", &["counters", "protocol"]),
    ("refusals", &["access"]),
    ("connection", &["access", "protocol"]),
    ("delivery", &["access", "connection", "protocol"]),
    ("admin", &["access", "protocol"]),
    ("grpc", &["access", "connection", "protocol"]),
    ("sse", &["access", "connection", "delivery", "protocol"]),
    (
        "websocket",
        &["access", "connection", "delivery", "protocol"],
    ),
];

/// Foreign names, and the places that may know them.
const FOREIGN: &[(&str, &[&str])] = &[
    ("axum", &["transport"]),
    ("hyper", &["transport", "client", "auth::fetch"]),
    ("hyper_util", &["transport", "client", "auth::fetch"]),
    ("prost", &["transport"]),
    ("sd_notify", &["service_manager"]),
    ("opentelemetry_proto", &["telemetry::otlp"]),
    (
        "tonic",
        &["proto", "transport", "client", "telemetry::otlp"],
    ),
    ("tonic_health", &["transport"]),
    ("tonic_types", &["transport", "client", "telemetry::otlp"]),
    // The router's one error.
    ("tonic_reflection", &["transport", "app"]),
    ("tonic_web", &["transport"]),
    ("tungstenite", &["transport", "client"]),
    (
        "tokio_postgres",
        &[
            "source",
            "cli::check",
            "cli::database",
            "cli::demo",
            "cli::triggers",
        ],
    ),
    ("tokio_postgres_rustls", &["source"]),
    (
        "rustls",
        &["source", "outgoing", "transport::connection::tls"],
    ),
    ("tokio_rustls", &["outgoing", "transport::connection::tls"]),
    ("jsonwebtoken", &["auth"]),
    ("env::var", &["config"]),
    ("env::var_os", &["config"]),
    ("env::vars", &["config"]),
    ("env::vars_os", &["config"]),
];

#[derive(Debug, PartialEq, Eq)]
struct Breach {
    file: String,
    line: usize,
    rule: String,
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "src/{}:{}: {}", self.file, self.line, self.rule)
    }
}

#[test]
fn the_arrows_hold() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut breaches = Vec::new();
    let files = files(&src);
    assert!(files.len() > 50, "{files:?}");
    for path in files {
        let text = fs::read_to_string(&path).unwrap();
        let file = path.strip_prefix(&src).unwrap().to_str().unwrap();
        breaches.extend(check(file, &text));
    }
    let said: Vec<_> = breaches.iter().map(Breach::to_string).collect();
    assert!(said.is_empty(), "\n{}", said.join("\n"));
}

/// All of Rust but tests and the crate's root, which is documentation.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.file_stem().and_then(|name| name.to_str()) {
            Some("tests" | "lib" | "main") => {}
            _ if path.is_dir() => files.extend(self::files(&path)),
            _ if path.extension().is_some_and(|ext| ext == "rs") => files.push(path),
            _ => {}
        }
    }
    files
}

/// `file` is its path under `src/`.
fn check(file: &str, text: &str) -> Vec<Breach> {
    let (module, code) = (module(file), code(text));
    let arrows = named(&code, &module).into_iter();
    let arrows = arrows.filter_map(|(at, path)| Some((at, forbidden(&module, &path)?)));
    let mut breaches: Vec<_> = arrows
        .chain(foreign(&module, &code))
        .map(|(offset, rule)| Breach {
            file: file.to_owned(),
            line: code[..offset].matches('\n').count() + 1,
            rule,
        })
        .collect();
    breaches.sort_by(|a, b| (a.line, &a.rule).cmp(&(b.line, &b.rule)));
    breaches.dedup();
    breaches
}

fn foreign(module: &[String], code: &str) -> Vec<(usize, String)> {
    let module = format!("{}::", module.join("::"));
    let mut breaches = Vec::new();
    for (name, homes) in FOREIGN {
        if homes
            .iter()
            .any(|home| module.starts_with(&format!("{home}::")))
        {
            continue;
        }
        let rule = format!("{name} is only for {}", homes.join(", "));
        breaches.extend(places(code, name).into_iter().map(|at| (at, rule.clone())));
    }
    breaches
}

fn forbidden(module: &[String], named: &[String]) -> Option<String> {
    let (from, to) = (module.first()?.as_str(), named.first()?.as_str());
    let Some((_, allowed)) = ARROWS.iter().find(|(name, _)| *name == from) else {
        return Some(format!("{from} has no arrows yet: draw them"));
    };
    if from != to {
        let rule = format!("{from} names {to}; it may only name {allowed:?}");
        return (!allowed.contains(&to)).then_some(rule);
    }
    room(module.get(1)?, named.get(1)?).filter(|_| from == "transport")
}

/// The rule that the arrow between two rooms of `transport` breaks.
fn room(from: &str, to: &str) -> Option<String> {
    let (_, allowed) = ROOMS.iter().find(|(name, _)| *name == from)?;
    let is_room = ROOMS.iter().any(|(name, _)| *name == to) || ["router", "server"].contains(&to);
    let is_fine = from == to || !is_room || allowed.contains(&to);
    (!is_fine).then(|| format!("{from} names {to}; it may only name {allowed:?}"))
}

/// A rule that cannot be broken holds nothing.
#[test]
fn each_rule_can_be_broken() {
    let says = |file: &str, text: &str| {
        let breaches = check(file, text).into_iter();
        breaches
            .map(|breach| breach.to_string())
            .collect::<Vec<_>>()
    };
    let table = [
        (
            "event.rs",
            "\nuse crate::hub::Hub;",
            "src/event.rs:2: event names hub",
        ),
        (
            "hub/log.rs",
            "use crate::{\n    event::Event,\n    source::{self, X},\n};",
            "src/hub/log.rs:3: hub names source",
        ),
        ("source/mod.rs", "use super::hub::Hub;", "source names hub"),
        (
            "source/a/b.rs",
            "use super::super::super::hub;",
            "source names hub",
        ),
        (
            "auth/mod.rs",
            "fn f() { crate::transport::serve() }",
            "auth names transport",
        ),
        (
            "metrics.rs",
            "use crate::event;",
            "metrics has no arrows yet",
        ),
        (
            "transport/sse/mod.rs",
            "use super::{protocol::json, websocket::json_wire::configure};",
            "sse names websocket",
        ),
        (
            "transport/protocol/json.rs",
            "use crate::transport::grpc::Grpc;",
            "protocol names grpc",
        ),
        (
            "hub/mod.rs",
            "use axum::Router;",
            "axum is only for transport",
        ),
        (
            "app.rs",
            "fn f(e: tonic::Status) {}",
            "tonic is only for proto, transport, client, telemetry::otlp",
        ),
        (
            "cli/serve.rs",
            "use tokio_postgres::Client;",
            "tokio_postgres is only for source, cli::check, cli::database, \
             cli::demo, cli::triggers",
        ),
        (
            "temp_postgres/place.rs",
            "let x = std::env::var_os(\"X\");",
            "env::var_os is only for config",
        ),
    ];
    for (file, text, expected) in table {
        let said = says(file, text);
        assert!(
            said.len() == 1 && said[0].contains(expected),
            "{text}: {said:?}"
        );
    }
    let fine = [
        (
            "hub/a.rs",
            "use crate::{event as e, channel_demand::{Demand as D, ListenRequest}};",
        ),
        (
            "hub/log.rs",
            "// use crate::source;\nuse crate::event::{self, Event};\nuse super::source;",
        ),
        (
            "transport/router.rs",
            "use super::{grpc::{Calls, Grpc}, websocket::json_wire::ws, sse::sse};",
        ),
        ("cli/demo/shop.rs", "use tokio_postgres::Client;"),
        (
            "source/a.rs",
            "use my_axum::x; let y = http_axum::z; let v = env::variant();",
        ),
        (
            "event.rs",
            "x\n#[cfg(test)]\nmod tests {\nuse crate::hub::Hub; }",
        ),
    ];
    for (file, text) in fine {
        assert_eq!(says(file, text), Vec::<String>::new(), "{text}");
    }
}
