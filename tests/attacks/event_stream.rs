use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    besieged::Besieged,
    support::{EventStream, within},
};

/// PostgreSQL accepts all of these bytes except NUL.
const FORGERIES: [&str; 10] = [
    "x\n\nevent: gap\ndata: {}\n\n",
    "a\rid: 9-9\r\r",
    "a\r\n\r\nretry: 1\r\n\r\n",
    "\n\n\nid\n\n",
    "data: {\"type\":\"gap\"}",
    ": a comment\n:\n",
    "\u{feff}data: x\n\n",
    "event:end\n\n",
    " \n  leading",
    "x\u{2028}\u{2029}\u{85}\u{b}\u{c}y",
];

#[tokio::test(flavor = "multi_thread")]
async fn a14_a_payload_forges_no_message() {
    let mut besieged = Besieged::new().await;
    let address = besieged.address();
    let mut json = EventStream::open(address, "/v1/sse?channel=a", &[]).await;
    let mut raw = EventStream::open(address, "/v1/sse?channel=a&format=raw", &[]).await;
    json.message().await;
    raw.message().await;
    let retries = [json.source.retry, raw.source.retry];
    for payload in FORGERIES {
        besieged.database.notify("a", payload).await;
        let (object, lines) = (json.message().await, raw.message().await);
        assert_eq!(
            (object.name.as_str(), lines.name.as_str()),
            ("message", "message")
        );
        assert_eq!(object.last_event_id, lines.last_event_id);
        assert!(lines.last_event_id.contains('-'), "{payload:?}");
        let object: serde_json::Value = serde_json::from_str(&object.data).unwrap();
        assert_eq!(
            (&object["type"], &object["payload"]),
            (&"event".into(), &payload.into())
        );
        assert_eq!(object["id"], lines.last_event_id);
        assert_eq!(
            lines.data,
            payload.replace("\r\n", "\n").replace('\r', "\n")
        );
    }
    assert_eq!([json.source.retry, raw.source.retry], retries);
    besieged.others_are_served().await;
}

/// The answer up to `ready`, for a header of these bytes.
async fn resumed(besieged: &Besieged, lines: &[u8]) -> Result<String, String> {
    let mut socket = TcpStream::connect(besieged.address()).await.unwrap();
    let head = b"GET /v1/sse?channel=a HTTP/1.1\r\nHost: localhost\r\n";
    let request = [head, lines, b"\r\n\r\n"].concat();
    socket.write_all(&request).await.unwrap();
    let mut answer = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&answer).into_owned();
        if !text.starts_with("HTTP/1.1 200") && text.contains("\r\n\r\n") {
            return Err(text);
        }
        if text.contains("\"type\":\"ready\"") {
            return Ok(text);
        }
        let reading = socket.read_buf(&mut answer);
        assert!(within("ready", reading).await.unwrap() > 0, "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a15_a_last_event_id_that_is_none_is_one_gap() {
    let mut besieged = Besieged::new().await;
    let long = "9".repeat(10_000);
    let hex = "f".repeat(20_000);
    for id in [
        "..",
        "-1",
        "1",
        "1-",
        "0-0",
        "1--1",
        "%0d%0a",
        "%00",
        "null",
        "{}",
        "a b",
        "1-18446744073709551616",
        "ffffffffffffffffff-1",
        "1-1; DROP TABLE t",
        "é😀",
        "\u{feff}1-1",
        &long,
        &hex,
    ] {
        let answer = resumed(&besieged, format!("Last-Event-ID: {id}").as_bytes()).await;
        let answer = answer.unwrap_or_else(|refused| panic!("{id:.40}: {refused}"));
        assert_eq!(
            answer.matches("unknown_cursor").count(),
            1,
            "{id:.40}: {answer}"
        );
        // The input is not repeated in the answer.
        assert!(id.len() < 6 || !answer.contains(id), "{id:.40}");
    }
    let bytes = resumed(&besieged, b"Last-Event-ID: \xff\xfe").await;
    assert!(bytes.is_ok(), "{bytes:?}");
    // Two headers: they are not combined, the later one counts.
    let two = resumed(&besieged, b"Last-Event-ID: 1-1\r\nLast-Event-ID: 1-2").await;
    assert!(two.is_ok(), "{two:?}");
    // HTTP does not allow such a field.
    for broken in [&b"Last-Event-ID: a\0b"[..], b"Last-Event-ID: a\rid: 9"] {
        let refused = resumed(&besieged, broken).await.unwrap_err();
        assert!(refused.starts_with("HTTP/1.1 400"), "{refused}");
    }
    besieged.others_are_served().await;
}
