//! The README's commands, each as it stands there, against the demo that
//! `make run` starts.

use std::{path::Path, process::Stdio};

use crate::{
    demo::Demo,
    support::{
        environment,
        program::{Program, command},
    },
};

const README: &str = include_str!("../../README.md");

/// What each command must show, in the order of the README.
const SHOWN: [&str; 11] = [
    "\"table\" : \"orders\"",
    "{\"type\":\"event\",",
    "{\"type\":\"event\",",
    "{\"event\":",
    "204 No Content",
    "200 OK",
    "{\"type\":\"event\",",
    "committed",
    "ok    probe ",
    "CREATE TRIGGER pgfan_change",
    "_pgfan()",
];

/// The blocks that are for a shell; those marked `text` are illustrations.
fn commands() -> Vec<&'static str> {
    let blocks = README.split("```sh\n").skip(1);
    let blocks: Vec<_> = blocks.filter_map(|rest| rest.split("```").next()).collect();
    blocks.into_iter().flat_map(str::lines).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_of_the_readme_shows_what_it_promises() {
    let demo = Demo::start().await;
    let (_, rest) = demo.instructions.split_once("http://").unwrap();
    let address = rest.split([',', ' ']).next().unwrap();
    let (_, rest) = demo.instructions.split_once("psql \"").unwrap();
    let database = rest.split('"').next().unwrap();
    let commands = commands();
    assert_eq!(commands.len(), SHOWN.len(), "{commands:?}");
    for (line, shown) in commands.into_iter().zip(SHOWN) {
        shows(
            &line.replace("127.0.0.1:8000", address),
            shown,
            address,
            database,
        )
        .await;
    }
}

/// In the repository's folder, with the program and the websockets library at
/// hand, and the demo where the program looks for a gateway and a database.
async fn shows(line: &str, shown: &str, address: &str, database: &str) {
    let program = Path::new(env!("CARGO_BIN_EXE_pgfan")).parent().unwrap();
    let program = program.display();
    let root = env!("CARGO_MANIFEST_DIR");
    let path = environment("PATH").unwrap_or_default();
    let mut shell = command("/bin/sh");
    shell
        .current_dir(root)
        .env(
            "PATH",
            format!("{program}:{root}/target/clients/venv-new/bin:{path}"),
        )
        .env("PGFAN_URL", format!("http://{address}"))
        .env("DATABASE_URL", database)
        // A terminal's input stays open.
        .stdin(Stdio::piped())
        .process_group(0)
        .args(["-c", line]);
    let mut program = Program::start(&mut shell);
    let find = |said: &[u8]| String::from_utf8_lossy(said).contains(shown).then_some(());
    let what = format!("{shown} of {line}");
    program.stdout.until(&what, find).await;
}
