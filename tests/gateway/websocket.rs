//! Messages of a client on `/v1/ws`, and the ends of its connection.

use serde_json::{Value, json};
use tokio::net::TcpSocket;
use tokio_tungstenite::tungstenite::Message;

use crate::support::{Database, Said, TestGateway, WebSocket};

async fn open(gateway: &TestGateway) -> WebSocket {
    WebSocket::open(gateway.address, "/v1/ws").await.unwrap()
}

async fn answer(socket: &mut WebSocket, question: Value) -> Value {
    socket.say(&question.to_string()).await;
    match socket.said().await {
        Said::Answer(answer) => answer,
        other => panic!("{question}: {other:?}"),
    }
}

async fn subscribe(socket: &mut WebSocket, question: Value) -> (Vec<String>, String) {
    socket.say(&question.to_string()).await;
    match socket.said().await {
        Said::Ready { channels, cursor } => (channels, cursor),
        other => panic!("{question}: {other:?}"),
    }
}

fn is_unknown_cursor(said: &Said) -> bool {
    matches!(said, Said::Gap { reason, .. } if reason == "unknown_cursor")
}

fn is_ready(said: &Said, channel: &str) -> bool {
    matches!(said, Said::Ready { channels, .. } if channels == &[channel])
}

fn payload(said: Said) -> (String, String) {
    match said {
        Said::Event {
            channel, payload, ..
        } => (channel, payload),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn channels_come_and_go_on_one_connection() {
    let database = Database::new().await;
    let gateway = TestGateway::on(&database).await;
    let mut socket = open(&gateway).await;
    let (channels, _) =
        subscribe(&mut socket, json!({"type": "subscribe", "channels": ["a"]})).await;
    assert_eq!(channels, ["a"]);
    let both = json!({"type": "subscribe", "channels": ["b", "c", "b"]});
    assert_eq!(subscribe(&mut socket, both).await.0, ["b", "c"]);
    for channel in ["a", "b", "c"] {
        database.notify(channel, "1").await;
        assert_eq!(payload(socket.said().await), (channel.into(), "1".into()));
    }
    let parted = answer(
        &mut socket,
        json!({"type": "unsubscribe", "channels": ["a", "x"]}),
    )
    .await;
    assert_eq!(
        parted,
        json!({"type": "unsubscribed", "channels": ["a", "x"]})
    );
    database.notify("a", "2").await;
    database.notify("b", "2").await;
    assert_eq!(payload(socket.said().await), ("b".into(), "2".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_later_subscribe_resumes_its_own_channels() {
    let database = Database::new().await;
    let gateway = TestGateway::on(&database).await;
    let mut first = open(&gateway).await;
    let ask = json!({"type": "subscribe", "channels": ["b"]});
    let (_, cursor) = subscribe(&mut first, ask).await;
    let mut socket = open(&gateway).await;
    subscribe(&mut socket, json!({"type": "subscribe", "channels": ["a"]})).await;
    database.notify("b", "missed").await;
    database.notify("a", "seen").await;
    assert_eq!(payload(socket.said().await).1, "seen");
    let ask = json!({"type": "subscribe", "channels": ["b"], "cursor": cursor});
    socket.say(&ask.to_string()).await;
    assert_eq!(payload(socket.said().await), ("b".into(), "missed".into()));
    let ready = socket.said().await;
    assert!(is_ready(&ready, "b"), "{ready:?}");
    let ask = json!({"type": "subscribe", "channels": ["c"], "cursor": "strange"});
    socket.say(&ask.to_string()).await;
    let gap = socket.said().await;
    assert!(is_unknown_cursor(&gap), "{gap:?}");
    let ready = socket.said().await;
    assert!(is_ready(&ready, "c"), "{ready:?}");
    database.notify("b", "live").await;
    assert_eq!(payload(socket.said().await).1, "live");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_frame_gets_an_error_and_the_stream_goes_on() {
    let database = Database::new().await;
    let gateway = TestGateway::with(&database, &[("max-channels-per-reader", "2")]).await;
    let mut socket = open(&gateway).await;
    for (question, code) in [
        (json!("hello"), "invalid_request"),
        (json!({"type": "dance"}), "invalid_request"),
        (json!({"type": "subscribe"}), "invalid_request"),
        (
            json!({"type": "subscribe", "channels": []}),
            "invalid_request",
        ),
        (
            json!({"type": "subscribe", "channels": [""]}),
            "invalid_request",
        ),
        (
            json!({"type": "subscribe", "channels": ["a"], "cusor": "x"}),
            "invalid_request",
        ),
        (
            json!({"type": "subscribe", "channels": ["pgfan:x"]}),
            "forbidden",
        ),
        (
            json!({"type": "subscribe", "channels": ["a", "b", "c"]}),
            "too_many",
        ),
        (
            json!({"type": "unsubscribe", "channels": ["\u{0}"]}),
            "invalid_request",
        ),
        (
            json!({"type": "publish", "channel": "a", "payload": "x"}),
            "forbidden",
        ),
    ] {
        let error = answer(&mut socket, question.clone()).await;
        assert_eq!(
            (&error["type"], &error["code"]),
            (&json!("error"), &json!(code)),
            "{question}"
        );
    }
    socket.send(Message::Binary(vec![0, 159].into())).await;
    assert!(
        matches!(socket.said().await, Said::Answer(error) if error["code"] == "invalid_request")
    );
    subscribe(&mut socket, json!({"type": "subscribe", "channels": ["a"]})).await;
    database.notify("a", "still here").await;
    assert_eq!(payload(socket.said().await).1, "still here");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frame_over_the_limit_ends_the_stream() {
    let database = Database::new().await;
    let gateway = TestGateway::with(&database, &[("max-client-frame", "1KiB")]).await;
    for path in ["/v1/ws?channel=a", "/pgpubsub/a"] {
        let mut socket = WebSocket::open(gateway.address, path).await.unwrap();
        if path.starts_with("/v1") {
            socket.said().await;
        }
        socket.say(&"x".repeat(1025)).await;
        assert_eq!(
            socket.said().await,
            Said::Closed(1009, "the message is too large".into())
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_closes_is_answered() {
    let database = Database::new().await;
    let gateway = TestGateway::on(&database).await;
    for path in [
        "/v1/ws?channel=a",
        "/v1/ws?channel=a&format=raw",
        "/pgpubsub/a",
    ] {
        let mut socket = WebSocket::open(gateway.address, path).await.unwrap();
        socket.send(Message::Close(None)).await;
        loop {
            match socket.frame().await {
                Some(Message::Close(None)) => break,
                Some(Message::Text(_)) => {}
                other => panic!("{path}: {other:?}"),
            }
        }
        assert_eq!(socket.frame().await, None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_reader_is_pinged_with_its_cursor() {
    let database = Database::new().await;
    let gateway = TestGateway::with(&database, &[("keepalive", "200ms")]).await;
    let mut busy = WebSocket::open(gateway.address, "/v1/ws?channel=busy")
        .await
        .unwrap();
    busy.said().await;
    let mut quiet = WebSocket::open(gateway.address, "/v1/ws?channel=quiet")
        .await
        .unwrap();
    quiet.said().await;
    database.notify("busy", "1").await;
    let Said::Event { id, .. } = busy.said().await else {
        panic!();
    };
    assert_eq!(quiet.frame().await, Some(Message::Ping(id.into())));
}

/// A page, which cannot see pings, uses this to check the connection: also
/// while the database is away and a subscribe waits for it.
#[tokio::test(flavor = "multi_thread")]
async fn an_unsubscribe_from_nothing_is_answered_at_once() {
    let gateway = TestGateway::starting("postgresql://nobody@127.0.0.1:1/x", &[]);
    let mut socket = open(&gateway).await;
    socket.say(r#"{"type":"subscribe","channels":["a"]}"#).await;
    let question = json!({"type": "unsubscribe", "channels": []});
    let nothing = json!({"type": "unsubscribed", "channels": []});
    assert_eq!(answer(&mut socket, question).await, nothing);
}

#[tokio::test(flavor = "multi_thread")]
async fn on_the_raw_wires_a_client_has_nothing_to_say() {
    let database = Database::new().await;
    let gateway = TestGateway::on(&database).await;
    let mut old = WebSocket::open(gateway.address, "/pgpubsub/a")
        .await
        .unwrap();
    old.say("anything").await;
    old.send(Message::Binary(vec![1].into())).await;
    database.notify("a", "ignored").await;
    assert_eq!(old.text().await.unwrap(), "ignored");
    let mut raw = WebSocket::open(gateway.address, "/v1/ws?channel=a&format=raw")
        .await
        .unwrap();
    raw.say(r#"{"type":"subscribe","channels":["b"]}"#).await;
    assert_eq!(
        raw.said().await,
        Said::Closed(1008, "invalid_request".into())
    );
    let none = WebSocket::open(gateway.address, "/v1/ws?format=raw").await;
    assert_eq!(none.err(), Some(400));
}

/// Otherwise it could not unsubscribe when it receives too much.
#[tokio::test(flavor = "multi_thread")]
async fn a_busy_reader_is_listened_to() {
    let database = Database::new().await;
    let gateway = TestGateway::on(&database).await;
    for path in ["/v1/ws?channel=a", "/pgpubsub/a"] {
        let tcp = TcpSocket::new_v4().unwrap();
        // Data in the kernel's buffers precedes any answer: at most 4 MB on the
        // gateway's side, of 15.
        tcp.set_recv_buffer_size(4096).unwrap();
        let tcp = tcp.connect(gateway.address).await.unwrap();
        let mut socket = WebSocket::over(tcp, path).await.unwrap();
        if path.starts_with("/v1") {
            socket.said().await;
        }
        let sql =
            "SELECT pg_notify('a', n || repeat(' ', 300)) FROM generate_series(1, 50000) AS n";
        database.client.query(sql, &[]).await.unwrap();
        socket.text().await.unwrap();
        socket.send(Message::Ping("there?".into())).await;
        let mut events = 0;
        while socket.frame().await != Some(Message::Pong("there?".into())) {
            events += 1;
        }
        assert!(events < 40_000, "{path}: {events} events before the pong");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_is_never_lost_without_a_word() {
    let database = Database::new().await;
    let gateway = TestGateway::on(&database).await;
    let mut socket = open(&gateway).await;
    for cursor in [json!(12), json!([]), json!("strange")] {
        let channel = cursor.to_string();
        let ask = json!({"type": "subscribe", "channels": [channel], "cursor": cursor});
        socket.say(&ask.to_string()).await;
        let gap = socket.said().await;
        assert!(is_unknown_cursor(&gap), "{gap:?}");
        let ready = socket.said().await;
        assert!(is_ready(&ready, &channel), "{ready:?}");
    }
    let again = json!({"type": "subscribe", "channels": ["12"], "cursor": "x"});
    assert_eq!(answer(&mut socket, again).await["code"], "invalid_request");
    let without = WebSocket::open(gateway.address, "/v1/ws?cursor=x").await;
    assert_eq!(without.err(), Some(400));
}
