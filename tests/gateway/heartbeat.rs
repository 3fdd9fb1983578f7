//! Heartbeats on gRPC and gRPC-Web, for clients that request them.

use hyper::{Request, body::Bytes};
use pgfan::proto::{SubscribeRequest, SubscribeResponse, subscribe_response::Message};
use prost::Message as _;
use tokio::{
    net::TcpStream,
    time::{Duration, Instant},
};

use crate::{
    grpc_web_call::Web,
    support::{Database, TestGateway, grpc_client, within},
};

const KEEPALIVE: Duration = Duration::from_millis(500);
const SETTINGS: [(&str, &str); 1] = [("keepalive", "500ms")];

fn asked(heartbeat: bool) -> SubscribeRequest {
    SubscribeRequest {
        channels: vec!["a".into()],
        cursor: String::new(),
        heartbeat,
    }
}

fn message(bytes: &[u8]) -> Message {
    let response = SubscribeResponse::decode(bytes).unwrap();
    response.message.expect("a message")
}

/// `ready`, then heartbeats with its cursor at the configured interval, then
/// one with the cursor of the event before.
async fn beats(database: &Database, mut next: impl AsyncFnMut() -> Message) {
    let Message::Ready(ready) = within("ready", next()).await else {
        panic!("no ready");
    };
    let begun = Instant::now();
    for _ in 0..3 {
        let Message::Heartbeat(heartbeat) = within("a heartbeat", next()).await else {
            panic!("no heartbeat");
        };
        assert_eq!(heartbeat.cursor, ready.cursor);
    }
    assert!(begun.elapsed() >= 2 * KEEPALIVE, "{:?}", begun.elapsed());
    database.notify("a", "x").await;
    let event = loop {
        match within("the event", next()).await {
            Message::Event(event) => break event,
            Message::Heartbeat(_) => {}
            other => panic!("{other:?}"),
        }
    };
    let Message::Heartbeat(heartbeat) = within("a heartbeat", next()).await else {
        panic!("no heartbeat");
    };
    assert_eq!(heartbeat.cursor, event.id);
}

#[tokio::test(flavor = "multi_thread")]
async fn over_grpc() {
    let database = Database::new().await;
    let gateway = TestGateway::with(&database, &SETTINGS).await;
    let mut client = grpc_client(gateway.address).await;
    let mut stream = client.subscribe(asked(true)).await.unwrap().into_inner();
    beats(&database, async || {
        let response = stream.message().await.unwrap().unwrap();
        response.message.expect("a message")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn over_grpc_web_on_http_1() {
    let database = Database::new().await;
    let gateway = TestGateway::with(&database, &SETTINGS).await;
    let mut web = Web::call(gateway.address, "Subscribe", &[], &asked(true)).await;
    beats(&database, async || message(&web.next().await.unwrap())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn over_grpc_web_on_http_2() {
    let database = Database::new().await;
    let gateway = TestGateway::with(&database, &SETTINGS).await;
    let socket = TcpStream::connect(gateway.address).await.unwrap();
    let (mut client, connection) = h2::client::handshake(socket).await.unwrap();
    tokio::spawn(connection);
    let encoded = asked(true).encode_to_vec();
    let length = u32::try_from(encoded.len()).unwrap().to_be_bytes();
    let body: Bytes = [&[0], &length[..], &encoded].concat().into();
    let request = Request::post("http://localhost/pgfan.v1.GatewayService/Subscribe")
        .header("content-type", "application/grpc-web+proto")
        .body(())
        .unwrap();
    let (response, mut sending) = client.send_request(request, false).unwrap();
    sending.send_data(body, true).unwrap();
    let mut stream = response.await.unwrap().into_body();
    beats(&database, async || {
        // Each arrives as its own chunk.
        let part = stream.data().await.unwrap().unwrap();
        stream.flow_control().release_capacity(part.len()).unwrap();
        message(&part[5..])
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_gets_one_who_has_not_asked() {
    let database = Database::new().await;
    let gateway = TestGateway::with(&database, &SETTINGS).await;
    let mut web = Web::call(gateway.address, "Subscribe", &[], &asked(false)).await;
    let ready = message(&web.next().await.unwrap());
    assert!(matches!(ready, Message::Ready(_)));
    let next = tokio::time::timeout(3 * KEEPALIVE, web.next()).await;
    assert!(next.is_err(), "{next:?}");
}
