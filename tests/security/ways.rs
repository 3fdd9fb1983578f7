//! The ways to present a token.

use futures_util::future::join_all;
use tokio::{net::TcpSocket, time::Instant};
use tokio_tungstenite::tungstenite::Message;

use crate::{
    attempts::{Outcome, Wire, publish},
    support::{Database, EventStream, Said, TestGateway, WebSocket, get, post, until},
    tokens::{WITH_TOKENS, forged, token},
};

const PROTOCOL: &str = "sec-websocket-protocol";

#[tokio::test(flavor = "multi_thread")]
async fn among_the_protocols_of_a_websocket() {
    let database = Database::new().await;
    let gateway = TestGateway::with(&database, &[WITH_TOKENS]).await;
    let address = gateway.address;
    let bearer = format!("pgfan.bearer.{}", token(&["a"]));
    let both = format!("pgfan.v1, {bearer}");
    for path in [
        "/v1/ws?channel=a",
        "/v1/ws?channel=a&format=raw",
        "/pgpubsub/a",
    ] {
        let opened = WebSocket::with_headers(address, path, &[(PROTOCOL, &both)]).await;
        let (_, answer) = opened.unwrap();
        assert_eq!(answer[PROTOCOL], "pgfan.v1", "the token is not repeated");
        // A browser would close a connection without a selected protocol.
        let alone = WebSocket::with_headers(address, path, &[(PROTOCOL, &bearer)]).await;
        assert_eq!(alone.err(), Some(400));
        let bad = format!("pgfan.v1, pgfan.bearer.{}", forged(&["a"]));
        let refused = WebSocket::with_headers(address, path, &[(PROTOCOL, &bad)]).await;
        assert_eq!(refused.err(), Some(401));
    }
    let headers = [(PROTOCOL, "pgfan.v1")];
    let refused = WebSocket::with_headers(address, "/pgpubsub/a", &headers).await;
    assert_eq!(refused.err(), Some(401));
    let open = TestGateway::on(&database).await;
    let opened = WebSocket::with_headers(open.address, "/v1/ws", &headers).await;
    assert_eq!(opened.unwrap().1[PROTOCOL], "pgfan.v1");
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_cookie() {
    let database = Database::new().await;
    let named = [WITH_TOKENS, ("token-cookie", "__Host-id")];
    for (settings, name) in [(&[WITH_TOKENS][..], "pgfan_token"), (&named, "__Host-id")] {
        let gateway = TestGateway::with(&database, settings).await;
        let good = format!("theme=dark; {name}={}", token(&["a"]));
        let headers = [("cookie", good.as_str())];
        let address = gateway.address;
        EventStream::open(address, "/v1/sse?channel=a", &headers)
            .await
            .message()
            .await;
        for path in ["/v1/ws?channel=a", "/pgpubsub/a"] {
            WebSocket::with_headers(address, path, &headers)
                .await
                .unwrap();
        }
        let other = format!("other={}", token(&["a"]));
        let answer = get(address, "/v1/sse?channel=a", &[("cookie", &other)]).await;
        assert_eq!(answer.status, 401);
    }
}

async fn first(gateway: &TestGateway, path: &str, frame: &str) -> WebSocket {
    let mut socket = WebSocket::open(gateway.address, path).await.unwrap();
    socket.say(frame).await;
    socket
}

fn auth(token: &str) -> String {
    format!(r#"{{"type":"auth","token":"{token}"}}"#)
}

#[tokio::test(flavor = "multi_thread")]
async fn in_the_first_frame_of_a_websocket() {
    let database = Database::new().await;
    let gateway = TestGateway::with(&database, &[WITH_TOKENS]).await;
    let mut socket = WebSocket::open(gateway.address, "/v1/ws?channel=a")
        .await
        .unwrap();
    // A client may check the connection before it has its token.
    socket.send(Message::Ping("x".into())).await;
    assert!(matches!(socket.frame().await, Some(Message::Pong(_))));
    socket.say(&auth(&token(&["a"]))).await;
    let Said::Answer(answer) = socket.said().await else {
        panic!("no answer")
    };
    assert_eq!(answer["type"], "authenticated");
    let Said::Ready { channels, .. } = socket.said().await else {
        panic!("not ready")
    };
    assert_eq!(channels, ["a"]);
    database.notify("a", "1").await;
    assert!(matches!(socket.said().await, Said::Event { .. }));

    let ends = |code: i32, word: &str| Said::Closed(code, word.into());
    let mut socket = first(&gateway, "/v1/ws?channel=b", &auth(&token(&["a"]))).await;
    socket.said().await;
    assert_eq!(socket.said().await, ends(4403, "forbidden"));
    for frame in [
        auth(&forged(&["a"])),
        auth(""),
        r#"{"type":"auth"}"#.into(),
        r#"{"type":"auth","token":"x","more":1}"#.into(),
        r#"{"type":"subscribe","channels":["a"]}"#.into(),
        r#"{"type":"publish","channel":"a","payload":"x"}"#.into(),
        "x".into(),
    ] {
        let mut socket = first(&gateway, "/v1/ws?channel=a", &frame).await;
        assert_eq!(
            socket.said().await,
            ends(4401, "unauthenticated"),
            "{frame}"
        );
    }
    let mut socket = WebSocket::open(gateway.address, "/v1/ws").await.unwrap();
    socket.send(Message::Binary("x".into())).await;
    assert_eq!(socket.said().await, ends(4401, "unauthenticated"));
}

/// A silent client is disconnected after 10 s, and its channel is not even
/// listened to.
#[tokio::test(flavor = "multi_thread")]
async fn a_first_frame_is_not_waited_for_for_ever() {
    let database = Database::new().await;
    let gateway = TestGateway::with(&database, &[WITH_TOKENS]).await;
    let began = Instant::now();
    let mut socket = WebSocket::open(gateway.address, "/v1/ws?channel=a")
        .await
        .unwrap();
    assert_eq!(
        socket.said().await,
        Said::Closed(4401, "unauthenticated".into())
    );
    let waited = began.elapsed().as_secs();
    assert!((10..12).contains(&waited), "{waited}");
}

/// Nor does the shutdown wait for it; it gets the same close frame as readers.
#[tokio::test(flavor = "multi_thread")]
async fn who_has_shown_no_token_yet_does_not_hold_up_the_end() {
    let database = Database::new().await;
    let gateway = TestGateway::with(&database, &[WITH_TOKENS]).await;
    let mut socket = WebSocket::open(gateway.address, "/v1/ws?channel=a")
        .await
        .unwrap();
    let told = async {
        let end = Said::Closed(1012, "shutting_down".into());
        assert_eq!(socket.said().await, end);
    };
    tokio::join!(gateway.stop(), told);
}

/// Clients with a token are let in regardless of them.
#[tokio::test(flavor = "multi_thread")]
async fn those_who_are_nobody_yet_are_not_many() {
    let database = Database::new().await;
    let gateway = TestGateway::with(&database, &[WITH_TOKENS]).await;
    let open = async |last: u8| {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(([127, 0, 0, last], 0).into()).unwrap();
        let socket = socket.connect(gateway.address).await.unwrap();
        WebSocket::over(socket, "/v1/ws?channel=a").await
    };
    let mut opened = Vec::new();
    // One address may have a quarter of them.
    for last in 2..6 {
        opened.extend(join_all((0..256).map(|_| open(last))).await);
        assert!(opened.iter().all(Result::is_ok));
        assert_eq!(open(last).await.err(), Some(429), "{last}");
    }
    assert_eq!(open(6).await.err(), Some(429));
    let bearer = format!("Bearer {}", token(&["a"]));
    let headers = [("authorization", bearer.as_str())];
    let path = "/v1/ws?channel=a";
    let (mut socket, _) = WebSocket::with_headers(gateway.address, path, &headers)
        .await
        .unwrap();
    assert!(matches!(socket.said().await, Said::Ready { .. }));
    drop(opened);
    until("there is room again", || async { open(6).await.is_ok() }).await;
}

/// Too large a frame ends the connection, as on any other.
#[tokio::test(flavor = "multi_thread")]
async fn who_is_nobody_yet_sends_no_large_frame() {
    let database = Database::new().await;
    let gateway = TestGateway::with(&database, &[WITH_TOKENS]).await;
    let frame = auth(&"x".repeat(64 << 10));
    let mut socket = WebSocket::open(gateway.address, "/v1/ws").await.unwrap();
    socket.try_say(&frame).await;
    assert!(matches!(socket.said().await, Said::Closed(1009, _)));
}

/// Anonymous clients and tokens together: everyone reads, a token allows more.
#[tokio::test(flavor = "multi_thread")]
async fn none_where_that_was_said_out_loud() {
    let database = Database::new().await;
    let settings = [WITH_TOKENS, ("anonymous", "on"), ("channels", "a,b")];
    let gateway = TestGateway::with(&database, &settings).await;
    let address = gateway.address;
    EventStream::open(address, "/v1/sse?channel=a", &[])
        .await
        .message()
        .await;
    assert_eq!(get(address, "/v1/sse?channel=c", &[]).await.status, 403);
    assert_eq!(post(address, "/v1/channels/a", "x").await.status, 403);
    let good = token(&["a"]);
    let published = publish(Wire::Http, address, Some(&good), "a", "x").await;
    assert_eq!(published, Outcome::Published);
    // An invalid token is refused, not treated as none.
    let bearer = format!("Bearer {}", forged(&["a"]));
    let headers = [("authorization", bearer.as_str())];
    assert_eq!(
        get(address, "/v1/sse?channel=a", &headers).await.status,
        401
    );
}

/// Such tokens may belong to other programs on the same host, or be sent by
/// habit.
#[tokio::test(flavor = "multi_thread")]
async fn an_open_gateway_looks_at_none() {
    let database = Database::new().await;
    let gateway = TestGateway::on(&database).await;
    for headers in [
        [("authorization", "Basic x")],
        [("authorization", "Bearer x")],
        [("cookie", "pgfan_token=x; pgfan_token=y")],
    ] {
        let path = "/v1/sse?channel=a";
        EventStream::open(gateway.address, path, &headers)
            .await
            .message()
            .await;
    }
    let mut socket = WebSocket::open(gateway.address, "/v1/ws").await.unwrap();
    socket.say(&auth("x")).await;
    let Said::Answer(answer) = socket.said().await else {
        panic!("no answer")
    };
    assert_eq!(answer, serde_json::json!({"type": "authenticated"}));
}
