//! Payloads and channel names arrive byte for byte; an invalid channel is
//! refused, and reaches no SQL.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::support::{
    Database, EventStream, Reader, Said, TestGateway, WebSocket, Wire, get, post,
};

fn payloads() -> Vec<String> {
    let control: String = (1..32u8).chain([127]).map(char::from).collect();
    let mut payloads: Vec<String> = [
        "",
        " ",
        "\n",
        "\r",
        "\r\n",
        "x\n\nevent: gap\ndata: {}",
        "a\rid: 9",
        "data: x",
        ": comment",
        "\u{2028}\u{2029}\u{feff}",
        "\"\\ </script> ' -- $$",
        "é→😀\u{10ffff}",
        "{\"type\":\"gap\"}",
    ]
    .map(str::to_owned)
    .into();
    payloads.extend([control, "x".repeat(7999), "é".repeat(3999) + "!"]);
    payloads
}

#[tokio::test(flavor = "multi_thread")]
async fn payloads_arrive_byte_for_byte() {
    let database = Database::new().await;
    let gateway = TestGateway::on(&database).await;
    for wire in Wire::ALL {
        let mut reader = gateway.reader(wire, "a").await;
        for payload in payloads() {
            database.notify("a", &payload).await;
            assert_eq!(reader.event().await.1, payload, "{wire:?}");
        }
    }
}

/// Raw SSE has only lines, so every line end becomes a separate line.
#[tokio::test(flavor = "multi_thread")]
async fn a_raw_event_stream_has_the_payload_and_no_more() {
    let database = Database::new().await;
    let gateway = TestGateway::on(&database).await;
    let mut stream = EventStream::open(gateway.address, "/v1/sse?channel=a&format=raw", &[]).await;
    assert_eq!(stream.message().await.name, "ready");
    for payload in payloads() {
        database.notify("a", &payload).await;
        let message = stream.message().await;
        assert_eq!(message.name, "message");
        assert_eq!(
            message.data,
            payload.replace("\r\n", "\n").replace('\r', "\n")
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn raw_frames_have_the_payload_and_no_more() {
    let database = Database::new().await;
    let gateway = TestGateway::on(&database).await;
    let path = "/v1/ws?channel=a&channel=b&format=raw";
    let mut socket = WebSocket::open(gateway.address, path).await.unwrap();
    for payload in payloads() {
        database.notify("b", &payload).await;
        assert_eq!(socket.text().await.unwrap(), payload);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn channel_names_are_exact() {
    let database = Database::new().await;
    database
        .client
        .batch_execute("CREATE TABLE t ()")
        .await
        .unwrap();
    let gateway = TestGateway::on(&database).await;
    let long = "é".repeat(31) + "x";
    let names = [
        "Case",
        "case",
        "a b",
        "a+b",
        "a/b",
        "a?b#c",
        "a&channel=b",
        "x\"; DROP TABLE t; --",
        "\"",
        "a\"\"b",
        "'",
        "\\",
        "%00",
        "\n\t",
        "é→😀",
        "$1",
        "*",
        ".",
        "..",
        "pgfan",
        &long,
    ];
    for wire in Wire::ALL {
        for name in names {
            let mut reader = Reader::open(wire, gateway.address, &[name], None).await;
            let ready = reader.said().await;
            assert!(
                matches!(&ready, Said::Ready { channels, .. } if channels == &[name]),
                "{ready:?}"
            );
            database.notify(name, name).await;
            let event = reader.said().await;
            assert!(
                matches!(&event, Said::Event { channel, payload, .. } if channel == name && payload == name),
                "{wire:?} {name:?} {event:?}"
            );
        }
    }
    database
        .client
        .batch_execute("SELECT FROM t")
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_a_channel_is_refused() {
    let database = Database::new().await;
    let gateway = TestGateway::with(&database, &[("allow-publish", "on")]).await;
    let (long, accents) = ("x".repeat(64), "é".repeat(32));
    for name in ["", "\0", "a\0b", &long, &accents] {
        let encoded = utf8_percent_encode(name, NON_ALPHANUMERIC).to_string();
        for path in ["/v1/sse?channel=ok&channel=", "/v1/ws?channel="] {
            let path = format!("{path}{encoded}");
            if path.starts_with("/v1/sse") {
                let answer = get(gateway.address, &path, &[]).await;
                assert_eq!(
                    (answer.status, answer.code()),
                    (400, "invalid_request".into())
                );
            } else {
                assert_eq!(
                    WebSocket::open(gateway.address, &path).await.err(),
                    Some(400)
                );
            }
        }
        let mut reader = Reader::open(Wire::Grpc, gateway.address, &[name], None).await;
        assert!(
            matches!(reader.said().await, Said::Closed(3, _)),
            "{name:?}"
        );
        if !name.is_empty() {
            let path = format!("/pgpubsub/{encoded}");
            assert_eq!(
                WebSocket::open(gateway.address, &path).await.err(),
                Some(400)
            );
            let answer = post(gateway.address, &format!("/v1/channels/{encoded}"), "x").await;
            assert_eq!(
                (answer.status, answer.code()),
                (400, "invalid_request".into())
            );
        }
    }
    for encoded in ["%FF", "%C3", "%zz", "%"] {
        let path = format!("/v1/sse?channel={encoded}");
        assert_eq!(
            get(gateway.address, &path, &[]).await.code(),
            "invalid_request"
        );
        let path = format!("/pgpubsub/{encoded}");
        assert_eq!(
            WebSocket::open(gateway.address, &path).await.err(),
            Some(400)
        );
    }
    assert!(database.listeners().await.len() <= 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_gateways_own_channels_are_nobodys() {
    let database = Database::new().await;
    let gateway = TestGateway::with(&database, &[("allow-publish", "on")]).await;
    let answer = get(gateway.address, "/v1/sse?channel=pgfan:x", &[]).await;
    assert_eq!((answer.status, answer.code()), (403, "forbidden".into()));
    for path in ["/v1/ws?channel=pgfan:x", "/pgpubsub/pgfan:x"] {
        assert_eq!(
            WebSocket::open(gateway.address, path).await.err(),
            Some(403)
        );
    }
    let mut reader = Reader::open(Wire::Grpc, gateway.address, &["pgfan:x"], None).await;
    assert!(matches!(reader.said().await, Said::Closed(7, _)));
    let answer = post(gateway.address, "/v1/channels/pgfan:x", "x").await;
    assert_eq!((answer.status, answer.code()), (403, "forbidden".into()));
    let mut socket = WebSocket::open(gateway.address, "/v1/ws").await.unwrap();
    socket
        .say(r#"{"type":"subscribe","channels":["a","pgfan:x"]}"#)
        .await;
    let Said::Answer(error) = socket.said().await else {
        panic!("no answer");
    };
    assert_eq!(
        (&error["type"], &error["code"]),
        (&"error".into(), &"forbidden".into())
    );
}
