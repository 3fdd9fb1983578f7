//! The commands of README and guide, exactly as written, against the demo that
//! `make run` starts.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
};

use crate::{
    demo::Demo,
    support::{
        environment, get,
        program::{Program, command},
        until,
    },
};

const EVENT: &str = "{\"type\":\"event\",";
const ROW: &str = "\"table\" : \"orders\"";
const GRPC: &str = "{\"event\":";

/// Expected output of each command, by page, in its order there.
const SHOWN: &[(&str, &[&str])] = &[
    (
        "README.md",
        &[
            ROW,
            EVENT,
            EVENT,
            EVENT,
            "204 No Content",
            "200 OK",
            GRPC,
            "CREATE TRIGGER pgfan_change",
            "cached {",
        ],
    ),
    (
        "docs/wires.md",
        &[EVENT, EVENT, GRPC, "204 No Content", "200 OK"],
    ),
    (
        "docs/command-line.md",
        &[
            EVENT,
            EVENT,
            "committed",
            "listens",
            "ok    probe ",
            "CREATE TRIGGER pgfan_change",
            "_pgfan()",
        ],
    ),
    (
        "docs/clients.md",
        &["changed: ", ROW, ROW, "cached {", ROW, GRPC],
    ),
    (
        "docs/metrics.md",
        &["pgfan_events_total ", "\"ready\":true"],
    ),
    ("docs/operating.md", &["200 OK", "listens"]),
    ("docs/access.md", &["462f6d5f527ecb97"]),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The lines of shell blocks; blocks marked `text` are illustrations.
fn commands(page: &str) -> Vec<String> {
    let text = fs::read_to_string(root().join(page)).unwrap();
    let blocks = text.split("```sh\n").skip(1);
    let blocks = blocks.filter_map(|rest| rest.split("```").next());
    blocks.flat_map(str::lines).map(str::to_owned).collect()
}

/// All pages of documentation.
fn pages() -> Vec<String> {
    let of = |folder: &str| -> Vec<PathBuf> {
        let entries = fs::read_dir(root().join(folder)).unwrap();
        entries.map(|entry| entry.unwrap().path()).collect()
    };
    let files = [of(""), of("docs"), of("packaging")].concat().into_iter();
    let pages = files.filter(|path| path.extension().is_some_and(|ext| ext == "md"));
    let pages = pages.map(|path| path.strip_prefix(root()).unwrap().display().to_string());
    pages.collect()
}

/// Kinds of code blocks; only `sh` contains commands.
const KINDS: [&str; 7] = ["sh", "text", "diff", "js", "json", "python", "sql"];

#[test]
fn no_command_is_left_out() {
    for page in pages() {
        let text = fs::read_to_string(root().join(&page)).unwrap();
        for block in text.split("\n```").skip(1).step_by(2) {
            let kind = block.lines().next().unwrap();
            assert!(KINDS.contains(&kind), "{page}: ```{kind}");
        }
        let shown = SHOWN.iter().find(|(name, _)| *name == page);
        let shown = shown.map_or(0, |(_, shown)| shown.len());
        assert_eq!(commands(&page).len(), shown, "{page}");
    }
}

/// Each page by itself, the pages concurrently.
#[tokio::test(flavor = "multi_thread")]
async fn every_command_shows_what_its_page_promises() {
    let demo = Demo::start().await;
    let (_, rest) = demo.instructions.split_once("http://").unwrap();
    let address = rest.split([',', ' ']).next().unwrap();
    let (_, rest) = demo.instructions.split_once("psql \"").unwrap();
    let database = rest.split('"').next().unwrap();
    // It prints its address before the database is ready.
    let gateway = address.parse().unwrap();
    until("the demo is ready", || async {
        get(gateway, "/readyz", &[]).await.status == 200
    })
    .await;
    let pages = SHOWN.iter().map(async |(page, shown)| {
        for (line, shown) in commands(page).iter().zip(*shown) {
            let line = line.replace("127.0.0.1:8000", address);
            shows(&line, shown, address, database).await;
        }
    });
    futures_util::future::join_all(pages).await;
}

/// Runs in the repository's folder, with the program and the websockets library
/// in its path, and the demo at the default addresses of gateway and database.
async fn shows(line: &str, shown: &str, address: &str, database: &str) {
    let program = Path::new(env!("CARGO_BIN_EXE_pgfan")).parent().unwrap();
    let program = program.display();
    let root = env!("CARGO_MANIFEST_DIR");
    let path = environment("PATH").unwrap_or_default();
    let venv = format!("{root}/target/clients/venv-new/bin");
    let mut shell = command("/bin/sh");
    shell
        .current_dir(root)
        .env("PATH", format!("{program}:{venv}:{path}"))
        .env("PGFAN_URL", format!("http://{address}"))
        .env("DATABASE_URL", database)
        .envs(libpq(database))
        // A terminal's input stays open.
        .stdin(Stdio::piped())
        .process_group(0)
        .args(["-c", line]);
    let mut program = Program::start(&mut shell);
    let find = |said: &[u8]| String::from_utf8_lossy(said).contains(shown).then_some(());
    let what = format!("{shown} of {line}");
    program.stdout.until(&what, find).await;
}

/// `host='/folder' port=1 …`, as variables.
fn libpq(database: &str) -> impl Iterator<Item = (String, String)> {
    database.split(' ').map(|pair| {
        let (name, value) = pair.split_once('=').unwrap();
        let name = match name {
            "dbname" => "PGDATABASE".to_owned(),
            name => format!("PG{}", name.to_uppercase()),
        };
        (name, value.trim_matches('\'').to_owned())
    })
}
