//! Clients in Python: PGCacheWatch, grpcio, and the websockets library.

use std::{path::PathBuf, time::Duration};

use serde_json::{Value, json};
use tokio::process::Command;

use crate::{
    HEAVY,
    support::{
        Database,
        gateway_process::{GatewayProcess, libpq_variables, pgfan},
        get, own_server,
        program::{Ended, Program, command, run, run_within},
        until,
    },
};

/// PGCacheWatch's own suite takes 30 s on an idle machine.
const SUITE_LIMIT: Duration = Duration::from_secs(150);

/// Folder of what `setup` installed; the clients are there.
const MADE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/clients");

const CLIENTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients");

/// The interpreter of a virtual environment.
pub fn interpreter(environment: &str) -> PathBuf {
    let python = PathBuf::from(MADE).join(environment).join("bin/python");
    let path = python.display();
    assert!(python.exists(), "{path} is not there: run `make test`");
    python
}

/// One of our clients, with the libraries of one virtual environment.
pub fn python(environment: &str, script: &str) -> Command {
    let mut command = command(interpreter(environment));
    command.args(["-B", &format!("{CLIENTS}/{script}")]);
    command
}

fn grpc(gateway: &GatewayProcess, arguments: &[&str]) -> Command {
    let mut command = python("venv", "grpc_by_reflection.py");
    command.arg(gateway.address.to_string()).args(arguments);
    command
}

fn web_socket(gateway: &GatewayProcess, arguments: &[&str]) -> Command {
    let mut command = python("venv-new", "websocket_reader.py");
    command.arg(gateway.address.to_string()).args(arguments);
    command
}

/// Each line of its output, after it ended successfully.
fn lines(ended: &Ended) -> Vec<&str> {
    assert!(ended.status.success(), "{ended:#?}");
    ended.stdout.lines().collect()
}

fn objects(ended: &Ended) -> Vec<Value> {
    let parse = |line: &&str| serde_json::from_str(line).ok();
    lines(ended).iter().filter_map(parse).collect()
}

/// The field `name` of each object, as text.
fn texts<'a>(objects: &'a [Value], name: &str) -> Vec<&'a str> {
    let field = |object: &'a Value| object[name].as_str();
    objects.iter().filter_map(field).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn pgcachewatchs_cache_is_right_or_knows_that_it_may_not_be() {
    let database = Database::new().await;
    let gateway = GatewayProcess::on(&database).await;
    let mut cache = python("venv", "pgcachewatch_cache.py");
    cache.arg(gateway.address.to_string());
    let ended = run(cache.envs(libpq_variables(&database.url))).await;
    let expected = [
        "miss: one",
        "hit: one",
        "miss after the change: two",
        "hit: two",
        "closed by the gateway: 1012",
        "connection_healthy() is false",
        "cache bypassed: every read is fresh",
        "miss: four",
        "hit: four",
        "miss after the change: five",
        "hit: five",
        "closed by the application: 1000",
    ];
    assert_eq!(lines(&ended), expected);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pgcachewatch_receives_every_event_on_the_newest_websockets() {
    let database = Database::new().await;
    let gateway = GatewayProcess::on(&database).await;
    let mut queue = python("venv-new", "pgcachewatch_receive.py");
    queue.arg(gateway.address.to_string());
    let ended = run(queue.envs(libpq_variables(&database.url))).await;
    let expected = ["received: 100 events, in order, with every field"];
    assert_eq!(lines(&ended), expected);
    gateway.stop().await;
}

/// With `pgfan serve` in place of its own server, and otherwise unchanged.
#[tokio::test(flavor = "multi_thread")]
async fn pgcachewatchs_own_suite_passes() {
    interpreter("venv");
    let _alone = HEAVY.lock().await;
    let server = own_server(&[("fsync", "on"), ("max_connections", "200")]).await;
    let mut suite = command(format!("{CLIENTS}/pgcachewatch_suite"));
    suite.env("PGFAN", env!("CARGO_BIN_EXE_pgfan"));
    suite.envs(libpq_variables(&server.url()));
    suite.env("PGHOST", server.socket_dir());
    let ended = run_within(SUITE_LIMIT, &mut suite).await;
    assert!(ended.status.success(), "{ended:#?}");
    assert!(ended.stdout.contains(": 123 passed"), "{ended:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn grpcio_needs_no_proto_to_read_and_to_publish() {
    let database = Database::new().await;
    let gateway = GatewayProcess::on(&database).await;
    let subscribe = ["subscribe", "--channel", "a", "--events", "3"];
    let mut reader = Program::start(&mut grpc(&gateway, &subscribe));
    let is_whole = |said: &[u8]| said.ends_with(b"\n").then_some(());
    reader.stdout.until("ready", is_whole).await;
    for payload in ["one", "two", "thrée \"3\""] {
        let ended = run(&mut grpc(&gateway, &["publish", "a", payload])).await;
        assert_eq!(lines(&ended), [r#"{"published": {}}"#]);
    }
    let said = objects(&reader.ended().await);
    assert_eq!(said[0]["ready"]["channels"], json!(["a"]));
    let events: Vec<_> = said[1..].iter().map(|said| said["event"].clone()).collect();
    assert_eq!(texts(&events, "payload"), ["one", "two", "thrée \"3\""]);
    assert_eq!(texts(&events, "channel"), ["a", "a", "a"]);

    let cursor = events[0]["id"].as_str().unwrap();
    let mut resume = grpc(&gateway, &subscribe[..3]);
    let ended = run(resume.args(["--cursor", cursor, "--events", "2"])).await;
    // They come before `ready`.
    let resumed: Vec<_> = objects(&ended)
        .iter()
        .map(|said| said["event"].clone())
        .collect();
    assert_eq!(resumed, events[1..]);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn grpcio_is_told_the_health_and_the_reason_of_a_refusal() {
    let database = Database::new().await;
    let gateway = GatewayProcess::on(&database).await;
    for service in ["", "pgfan.v1.GatewayService"] {
        let ended = run(&mut grpc(&gateway, &["health", service])).await;
        assert_eq!(lines(&ended), [r#"{"status": "SERVING"}"#]);
    }
    let refused = run(&mut grpc(&gateway, &["subscribe"])).await;
    assert_eq!(refused.status.code(), Some(1));
    let expected = json!({"end": {
        "code": "INVALID_ARGUMENT",
        "message": "`channels` is empty",
        "reason": "invalid_request",
        "domain": "pgfan",
    }});
    assert_eq!(
        serde_json::from_str::<Value>(&refused.stdout).unwrap(),
        expected
    );
    gateway.stop().await;
}

/// grpcio-reflection's database requests v1alpha only, as do Postman, grpcui and evans.
#[tokio::test(flavor = "multi_thread")]
async fn grpcio_reflection_finds_the_services_by_v1alpha() {
    let database = Database::new().await;
    let gateway = GatewayProcess::on(&database).await;
    let ended = run(&mut grpc(&gateway, &["--alpha", "health"])).await;
    assert_eq!(lines(&ended), [r#"{"status": "SERVING"}"#]);
    let ended = run(&mut grpc(&gateway, &["--alpha", "publish", "a", "x"])).await;
    assert_eq!(lines(&ended), [r#"{"published": {}}"#]);
    gateway.stop().await;
}

/// It stops reading for too long, and then reads what it was sent: retry policies handle
/// UNAVAILABLE, and not CANCELLED, which stands for the client's own cancellation.
#[tokio::test(flavor = "multi_thread")]
async fn grpcio_is_told_to_come_back_after_it_took_nothing() {
    let database = Database::new().await;
    let mut command = pgfan();
    command.envs(libpq_variables(&database.url));
    let gateway = GatewayProcess::serve(command.args(["serve", "--write-timeout", "1s"])).await;
    gateway.ready().await;
    let subscribe = ["subscribe", "--channel", "a", "--pause"];
    let mut reader = Program::start(&mut grpc(&gateway, &subscribe));
    let is_whole = |said: &[u8]| said.ends_with(b"\n").then_some(());
    reader.stdout.until("ready", is_whole).await;
    // More than fits into any window.
    for _ in 0..4 {
        database.notify_range("a", 1, 10_000).await;
    }
    until("it is counted", || async {
        let metrics = get(gateway.address, "/metrics", &[]).await;
        let text = String::from_utf8(metrics.body.to_vec()).unwrap();
        text.contains("pgfan_slow_readers_total{outcome=\"closed\"} 1\n")
    })
    .await;
    reader.signal("USR1").await;
    let ended = reader.ended().await;
    assert_eq!(ended.status.code(), Some(1), "{ended:#?}");
    let last: Value = serde_json::from_str(ended.stdout.lines().last().unwrap()).unwrap();
    let end = &last["end"];
    assert_eq!(end["code"], "UNAVAILABLE", "{last}");
    assert_eq!(end["reason"], "write_timeout", "{last}");
    assert_eq!(end["retry_seconds"], 2.0, "{last}");
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_websockets_library_reads_and_resumes() {
    let database = Database::new().await;
    let gateway = GatewayProcess::on(&database).await;
    let read = ["--channel", "a", "--channel", "b b", "--events", "3"];
    let mut reader = Program::start(&mut web_socket(&gateway, &read));
    let is_whole = |said: &[u8]| said.ends_with(b"\n").then_some(());
    reader.stdout.until("ready", is_whole).await;
    for (channel, payload) in [("a", "one"), ("b b", "two"), ("a", "thrée \"3\"")] {
        database.notify(channel, payload).await;
    }
    let ended = reader.ended().await;
    assert_eq!(lines(&ended).last(), Some(&"close 1000 "));
    let said = objects(&ended);
    assert_eq!(said[0]["channels"], json!(["a", "b b"]));
    let events = &said[1..];
    assert_eq!(texts(events, "payload"), ["one", "two", "thrée \"3\""]);

    let cursor = events[0]["id"].as_str().unwrap();
    let mut resume = web_socket(&gateway, &read[..4]);
    let ended = run(resume.args(["--cursor", cursor, "--events", "2"])).await;
    // They come before `ready`.
    assert_eq!(objects(&ended), events[1..]);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_websockets_library_is_told_why_it_is_closed() {
    let database = Database::new().await;
    let gateway = GatewayProcess::on(&database).await;
    let mut reader = Program::start(&mut web_socket(&gateway, &["--channel", "a"]));
    let is_whole = |said: &[u8]| said.ends_with(b"\n").then_some(());
    reader.stdout.until("ready", is_whole).await;
    gateway.stop().await;
    let ended = reader.ended().await;
    assert_eq!(ended.status.code(), Some(1), "{ended:#?}");
    let last = ended.stdout.lines().last();
    let expected = "close 1012 shutting_down: the gateway is shutting down";
    assert_eq!(last, Some(expected));
}
