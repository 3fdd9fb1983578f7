//! Cost of a token check: a token is checked once per connection.

use serde_json::json;

use crate::{
    attempts::bearer,
    support::{
        Database, EventStream, Said, WebSocket, gateway_process::GatewayProcess, grpc_client,
        post_with,
    },
    tokens::{SECRET, token},
};

const EVENTS: i32 = 100;

async fn talkative(database: &Database) -> GatewayProcess {
    let gateway = GatewayProcess::with_variables(&[
        ("DATABASE_URL", &database.url),
        ("PGFAN_TOKEN_SECRET", SECRET),
        ("RUST_LOG", "pgfan::auth=debug,info"),
    ])
    .await;
    gateway.ready().await;
    gateway
}

/// A reader that subscribes several times, and publishes.
async fn web_socket(gateway: &GatewayProcess, database: &Database, token: &str) {
    let headers = bearer(Some(token));
    let headers = [(headers[0].0, headers[0].1.as_str())];
    let opened = WebSocket::with_headers(gateway.address, "/v1/ws?channel=a.0", &headers).await;
    let (mut socket, _) = opened.unwrap();
    assert!(matches!(socket.said().await, Said::Ready { .. }));
    for number in 1..=5 {
        let frame = json!({"type": "subscribe", "channels": [format!("a.{number}")]});
        socket.say(&frame.to_string()).await;
        assert!(matches!(socket.said().await, Said::Ready { .. }));
    }
    database.notify_range("a.0", 1, EVENTS).await;
    for _ in 0..EVENTS {
        assert!(matches!(socket.said().await, Said::Event { .. }));
    }
    for number in 0..10 {
        let frame =
            json!({"type": "publish", "channel": "b", "payload": "x", "ref": number.to_string()});
        socket.say(&frame.to_string()).await;
        assert!(matches!(socket.said().await, Said::Answer(_)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_looked_at_once_a_connection() {
    let database = Database::new().await;
    let gateway = talkative(&database).await;
    let (address, token) = (gateway.address, token(&["a.*", "b"]));
    let looks = || {
        gateway
            .program
            .stderr
            .text()
            .matches("a token is taken")
            .count()
    };
    web_socket(&gateway, &database, &token).await;
    assert_eq!(looks(), 1);

    let authorization = bearer(Some(&token));
    let headers = [(authorization[0].0, authorization[0].1.as_str())];
    let mut stream = EventStream::open(address, "/v1/sse?channel=a.0", &headers).await;
    stream.message().await;
    database.notify_range("a.0", 1, EVENTS).await;
    for _ in 0..EVENTS {
        stream.message().await;
    }
    assert_eq!(looks(), 2);

    let mut client = grpc_client(address).await;
    let subscribe = pgfan::proto::SubscribeRequest {
        channels: vec!["a.0".into()],
        cursor: String::new(),
        heartbeat: false,
    };
    let mut request = tonic::Request::new(subscribe);
    let value = headers[0].1.parse().unwrap();
    request.metadata_mut().insert("authorization", value);
    let mut answers = client.subscribe(request).await.unwrap().into_inner();
    answers.message().await.unwrap();
    database.notify_range("a.0", 1, EVENTS).await;
    for _ in 0..EVENTS {
        answers.message().await.unwrap();
    }
    assert_eq!(looks(), 3);

    // Without its own connection, each call presents the token.
    let path = "/v1/channels/b";
    assert_eq!(post_with(address, path, &headers, "x").await.status, 204);
    assert_eq!(post_with(address, path, &headers, "x").await.status, 204);
    assert_eq!(looks(), 5);
    gateway.stop().await;
}
