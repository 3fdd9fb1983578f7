use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::json;

use crate::support::{
    Database, Reader, Said, WebSocket, Wire,
    gateway_process::{GatewayProcess, libpq_variables, pgfan},
    get, post, request,
};

const FORGED: &str = "a\n2026-11-24T12:00:00.000000Z ERROR me: {}\r\n{\"x\":1}\u{1b}[2J";

/// Sends text by every way in which a client's words could get into the log.
async fn say_it_everywhere(gateway: &GatewayProcess) {
    let address = gateway.address;
    let escaped = utf8_percent_encode(FORGED, NON_ALPHANUMERIC).to_string();
    for wire in Wire::ALL {
        let mut reader = Reader::open(wire, address, &[FORGED], Some(FORGED)).await;
        if wire != Wire::PgCacheWatch {
            // An invalid cursor.
            assert!(matches!(reader.said().await, Said::Gap { .. }), "{wire:?}");
        }
        reader.ready().await;
    }
    let path = format!("/v1/channels/{escaped}");
    assert_eq!(post(address, &path, FORGED).await.status, 204);
    for path in [
        format!("/{escaped}"),
        format!("/v1/sse?{escaped}"),
        format!("/v1/sse?channel={escaped}%FF"),
    ] {
        assert!(get(address, &path, &[]).await.status >= 400, "{path}");
    }
    let headers = [("user-agent", "{}\t\u{85}"), ("last-event-id", "{}%0a")];
    get(address, "/up", &headers).await;
    let method = request(address, "DELETE", "/up", &[], "x".into()).await;
    assert_eq!(method.status(), 405);
    // PostgreSQL cannot represent it in this encoding, and its error is logged
    // too.
    let strange = format!("{FORGED}→");
    for wire in Wire::ALL {
        let mut reader = Reader::open(wire, address, &[&strange], None).await;
        assert!(matches!(reader.said().await, Said::Closed(..)), "{wire:?}");
    }
    let path = format!(
        "/v1/channels/{}",
        utf8_percent_encode(&strange, NON_ALPHANUMERIC)
    );
    assert_eq!(post(address, &path, "x").await.status, 400);
    let mut socket = WebSocket::open(address, "/v1/ws").await.unwrap();
    for say in [
        FORGED.to_owned(),
        json!({"type": FORGED}).to_string(),
        json!({FORGED: 1}).to_string(),
    ] {
        socket.say(&say).await;
        assert!(matches!(socket.said().await, Said::Answer(_)));
    }
}

/// At the most detailed level, including the dependencies.
#[tokio::test(flavor = "multi_thread")]
async fn a22_the_log_keeps_its_lines() {
    let database = Database::with_encoding("LATIN1").await;
    let mut command = pgfan();
    command.envs(libpq_variables(&database.url));
    command
        .env("RUST_LOG", "trace")
        .args(["serve", "--allow-publish"]);
    let gateway = GatewayProcess::serve(&mut command).await;
    gateway.ready().await;
    say_it_everywhere(&gateway).await;
    // Includes messages of PostgreSQL itself.
    database.terminate().await;
    let log = gateway.stop().await.stderr;
    assert!(
        log.contains("2026-11-24T12:00:00.000000Z ERROR me"),
        "it does not come in: {log}"
    );
    assert!(log.contains("TRACE"), "that is not all: {log}");
    for line in log.lines() {
        assert!(is_a_line(line), "{line:?}");
    }
}

/// `2026-11-24T12:00:00.000000Z  INFO pgfan…`, with a known level and target,
/// and without control characters.
fn is_a_line(line: &str) -> bool {
    let Some((time, rest)) = line.split_once(' ') else {
        return false;
    };
    let is_time = time.len() == 27 && time.ends_with('Z') && time.starts_with("20");
    let levels = ["TRACE ", "DEBUG ", "INFO ", "WARN ", "ERROR "];
    let rest = rest.trim_start();
    let said = levels.iter().find_map(|level| rest.strip_prefix(level));
    let is_forged = said.is_some_and(|said| said.starts_with("me: {}"));
    is_time && said.is_some() && !is_forged && !line.contains(char::is_control)
}
