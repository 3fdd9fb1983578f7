//! How a browser parses the bytes of `/v1/sse`. `support::EventSource` stands
//! for it, and first has to pass the cases of the Web Platform Tests
//! (`eventsource/format-*`).

use serde_json::Value;

use crate::support::{Database, EventSource, EventStream, TestGateway, post};

/// For each message: data, name if it has one, and last event id.
fn messages(stream: &[u8]) -> Vec<(String, String, String)> {
    let mut source = EventSource::default();
    let whole = source.feed(stream);
    // The result does not depend on how the bytes are split.
    let mut source = EventSource::default();
    let bytes = stream.chunks(1);
    let by_the_byte: Vec<_> = bytes.flat_map(|byte| source.feed(byte)).collect();
    assert_eq!(whole, by_the_byte);
    let texts = whole.into_iter();
    texts.map(|m| (m.data, m.name, m.last_event_id)).collect()
}

fn datas(stream: &[u8]) -> Vec<String> {
    messages(stream)
        .into_iter()
        .map(|(data, ..)| data)
        .collect()
}

#[test]
fn the_examples_of_the_specification() {
    let mut source = EventSource::default();
    let stream = "data: YHOO\ndata: +2\ndata: 10\n\n: test stream\n\ndata: first event\nid: 1\n\n\
                  data:second event\nid\n\ndata:  third event\n\ndata\n\ndata\ndata\n\ndata:";
    let datas: Vec<_> = source
        .feed(stream.as_bytes())
        .into_iter()
        .map(|m| m.data)
        .collect();
    assert_eq!(
        datas,
        [
            "YHOO\n+2\n10",
            "first event",
            "second event",
            " third event",
            "",
            "\n"
        ]
    );
    let mut source = EventSource::default();
    let ids = source.feed(b"id: 7\n\ndata: a\r\rdata: b\r\n\r\n");
    assert_eq!(ids.len(), 2);
    assert!(ids.iter().all(|message| message.last_event_id == "7"));
}

#[test]
fn lines_and_data_are_as_the_web_platform_tests_have_them() {
    let long = "x".repeat(1 << 20);
    let comments = format!("data:a\r:\0\n:{long}\r\ndata:b\n:data:c\r:\ndata:d\n\n");
    let long_line = format!("data:{long}\n\n");
    for (case, stream, expected) in [
        (
            "bom",
            "\u{feff}data:a\n\n\u{feff}data:b\n\ndata:c\n\n",
            &["a", "c"][..],
        ),
        ("bom-2", "\u{feff}\u{feff}data:a\n\ndata:b\n\n", &["b"]),
        ("comments", &comments, &["a\nb\nd"]),
        ("data-before-final-empty-line", "data:a\n\ndata:b\n", &["a"]),
        (
            "field-data",
            "data:\n\ndata\ndata\n\ndata:a\n\n",
            &["", "\n", "a"],
        ),
        (
            "field-parsing",
            "data:\0\ndata:  a\rDATA:b\ndata\0:c\n\0data:d\nda-ta:e\rdata_f\n data:g\ndata:\r\ndata:h\n\n",
            &["\0\n a\n\nh"],
        ),
        (
            "field-unknown",
            "data:a\n data\ndata\nother:x\ntext\n:x\ndata:b\n\n",
            &["a\n\nb"],
        ),
        (
            "leading-space",
            "data:\ta\rdata: \ndata:  b\n\n",
            &["\ta\n\n b"],
        ),
        (
            "newlines",
            "data:a\r\ndata\ndata:b\r\n\rdata:c\r\r",
            &["a\n\nb", "c"],
        ),
        ("null-character", "data:\0\n\n\n\n", &["\0"]),
        ("a very long line", &long_line, &[&long]),
        ("utf-8", "data:é→😀\n\n", &["é→😀"]),
    ] {
        assert_eq!(datas(stream.as_bytes()), expected, "{case}");
    }
    assert_eq!(datas(b"data:a\xffb\n\n"), ["a\u{fffd}b"]);
}

#[test]
fn names_ids_and_retry_are_as_the_web_platform_tests_have_them() {
    for (case, stream, expected) in [
        (
            "field-event",
            "event:a\ndata:x\n\ndata:x\n\n",
            &[("a", ""), ("message", "")][..],
        ),
        (
            "field-event-empty",
            "event: \ndata:x\n\n",
            &[("message", "")],
        ),
        (
            "an event without data",
            "event:a\n\ndata:x\n\n",
            &[("message", "")],
        ),
        (
            "field-id",
            "id:7\ndata:x\n\ndata:x\n\n",
            &[("message", "7"), ("message", "7")],
        ),
        (
            "field-id-2",
            "id:7\ndata:x\n\nid\ndata:x\n\n",
            &[("message", "7"), ("message", "")],
        ),
        ("field-id-3", "id:7\n\ndata:x\n\n", &[("message", "7")]),
        (
            "field-id-null",
            "id:7\nid:8\09\ndata:x\n\n",
            &[("message", "7")],
        ),
    ] {
        let said = messages(stream.as_bytes());
        let said: Vec<_> = said
            .iter()
            .map(|(_, n, id)| (n.as_str(), id.as_str()))
            .collect();
        assert_eq!(said, expected, "{case}");
    }
    for (stream, retry) in [
        ("retry:3000\n", Some(3000)),
        ("retry:3000\nretry:1000x\n", Some(3000)),
        ("retry:3000\nretry\n", Some(3000)),
        ("retry:-1\n", None),
    ] {
        let mut source = EventSource::default();
        source.feed(stream.as_bytes());
        assert_eq!(source.retry, retry, "{stream:?}");
    }
    // An id without its empty line is not taken.
    let mut source = EventSource::default();
    source.feed(b"id:7\ndata:x\n\nid:8\ndata:y\n");
    assert_eq!(source.last_event_id, "7");
}

/// Payloads, and the lines that a browser receives with `format=raw`.
fn payloads() -> Vec<(String, String)> {
    let same = [
        "",
        " ",
        "  two spaces",
        "\ttab",
        "data:x",
        "data: x",
        "data",
        "id:9-9",
        "id",
        "retry:1",
        "event:gap",
        ":comment",
        "\u{feff}",
        "\u{feff}data:x",
        "\u{b}\u{c}\u{85}\u{2028}\u{2029}",
        "é→😀\u{10ffff}",
        "x\ny",
        "x\n",
        "\nx",
        "\n\n",
        "x\n\nid:9-9\ndata:y\n\n",
    ];
    let lines = [
        ("x\ry", "x\ny"),
        ("x\r\ny", "x\ny"),
        ("x\n\ry", "x\n\ny"),
        ("\r", "\n"),
        ("\r\n", "\n"),
        ("\r\r\n", "\n\n"),
        ("x\rid:9-9\r\rdata:y", "x\nid:9-9\n\ndata:y"),
    ];
    let long = ["x".repeat(7999), " ".repeat(7999), "\n".repeat(7999)];
    let same = same.map(String::from).into_iter().chain(long);
    let same = same.map(|text| (text.clone(), text));
    same.chain(lines.map(|(a, b)| (a.into(), b.into())))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_gateway_writes_is_what_a_browser_reads() {
    let database = Database::new().await;
    let gateway = TestGateway::with(&database, &[("allow-publish", "on")]).await;
    let mut json = EventStream::open(gateway.address, "/v1/sse?channel=a", &[]).await;
    let mut raw = EventStream::open(gateway.address, "/v1/sse?channel=a&format=raw", &[]).await;
    assert_eq!(json.headers["content-type"], "text/event-stream");
    let ready: Value = serde_json::from_str(&json.message().await.data).unwrap();
    let named = raw.message().await;
    assert_eq!(
        (ready["type"].as_str(), named.name.as_str()),
        (Some("ready"), "ready")
    );
    for (payload, lines) in payloads() {
        database.notify("a", &payload).await;
        let (object, text) = (json.message().await, raw.message().await);
        assert_eq!(
            (object.name.as_str(), text.name.as_str()),
            ("message", "message")
        );
        assert_eq!(text.data, lines, "{payload:.40?}");
        let id = is_an_id(&text.last_event_id);
        let object: Value = serde_json::from_str(&object.data).unwrap();
        assert_eq!(object["payload"], payload);
        assert_eq!(
            (&object["id"], id),
            (&text.last_event_id.clone().into(), true)
        );
    }
    // NUL, which would invalidate an id, cannot be sent.
    assert_eq!(
        post(gateway.address, "/v1/channels/a", "x\0y").await.status,
        400
    );
    for stream in [json, raw] {
        assert!((1000..3000).contains(&stream.source.retry.unwrap()));
    }
}

/// Checks for the contract's alphabet, which needs no escaping and which a
/// browser may send back without a preflight (CORS-safe header values).
fn is_an_id(id: &str) -> bool {
    let (epoch, sequence) = id.split_once('-').unwrap_or_default();
    let is_epoch = |b: u8| b.is_ascii_digit() || b.is_ascii_lowercase();
    let is_full = !epoch.is_empty() && !sequence.is_empty() && id.len() <= 64;
    is_full && epoch.bytes().all(is_epoch) && sequence.bytes().all(|b| b.is_ascii_digit())
}
