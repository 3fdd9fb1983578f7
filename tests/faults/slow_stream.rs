//! Readers of HTTP/2 that take nothing, or answer nothing, are counted as slow,
//! whichever wire they read.

use std::net::SocketAddr;

use h2::{RecvStream, client::SendRequest};
use hyper::{Request, body::Bytes};
use pgfan::transport::pb::SubscribeRequest;
use prost::Message as _;
use tokio::net::TcpStream;

use crate::support::{
    Database, Link, TestGateway,
    large::{EVENTS, notify_large},
    stuck_grpc_web, until, within,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Call {
    Sse,
    Grpc,
    GrpcWeb,
}

const CALLS: [Call; 3] = [Call::Sse, Call::Grpc, Call::GrpcWeb];

async fn connect(address: SocketAddr) -> SendRequest<Bytes> {
    let socket = TcpStream::connect(address).await.unwrap();
    let (client, connection) = h2::client::handshake(socket).await.unwrap();
    // It answers pings, and ends with the test.
    tokio::spawn(connection);
    client
}

impl Call {
    /// A reader of `a` that is ready, and is given no more room than it had.
    async fn ready(self, client: &mut SendRequest<Bytes>) -> RecvStream {
        let kind = match self {
            Self::Sse => {
                return ready(
                    client,
                    Request::get("http://pgfan/v1/sse?channel=a"),
                    Bytes::new(),
                )
                .await;
            }
            Self::Grpc => "application/grpc",
            Self::GrpcWeb => "application/grpc-web+proto",
        };
        let head = Request::post("http://pgfan/pgfan.v1.GatewayService/Subscribe");
        let head = head.header("content-type", kind).header("te", "trailers");
        ready(client, head, asked().into()).await
    }
}

/// For the channel `a`.
fn asked() -> Vec<u8> {
    let asked = SubscribeRequest {
        channels: vec!["a".into()],
        cursor: String::new(),
    };
    let asked = asked.encode_to_vec();
    let length = u32::try_from(asked.len()).unwrap().to_be_bytes();
    [&[0], &length[..], &asked].concat()
}

async fn ready(
    client: &mut SendRequest<Bytes>,
    head: hyper::http::request::Builder,
    body: Bytes,
) -> RecvStream {
    let (response, mut sending) = client.send_request(head.body(()).unwrap(), false).unwrap();
    sending.send_data(body, true).unwrap();
    let response = within("an answer", response).await.unwrap();
    assert_eq!(response.status(), 200);
    let mut stream = response.into_body();
    // An event stream begins before it is ready.
    let mut heard = Vec::new();
    let is_text = |heard: &[u8]| heard.starts_with(b"retry");
    while heard.is_empty() || is_text(&heard) && !String::from_utf8_lossy(&heard).contains("ready")
    {
        let part = within("ready", stream.data()).await.unwrap().unwrap();
        stream.flow_control().release_capacity(part.len()).unwrap();
        heard.extend_from_slice(&part);
    }
    stream
}

async fn closed(gateway: &TestGateway) -> usize {
    let metrics = gateway.get("/metrics").await;
    let text = String::from_utf8(metrics.body.to_vec()).unwrap();
    let sample = "pgfan_slow_readers_total{outcome=\"closed\"} ";
    let (_, value) = text.split_once(sample).unwrap();
    value.lines().next().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn f16_a_stream_that_takes_nothing_is_counted() {
    let database = Database::new().await;
    for call in CALLS {
        let gateway = TestGateway::with(&database, &[("write-timeout", "1s")]).await;
        let mut client = connect(gateway.address).await;
        let stuck = call.ready(&mut client).await;
        // More than its window has room for.
        notify_large(&database, 1..=40).await;
        until(&format!("{call:?} is counted"), || async {
            closed(&gateway).await == 1
        })
        .await;
        drop(stuck);
    }
}

/// There the connection is the stream.
#[tokio::test(flavor = "multi_thread")]
async fn f16_grpc_web_over_http1_that_takes_nothing_is_counted() {
    let database = Database::new().await;
    let gateway = TestGateway::with(&database, &[("write-timeout", "1s")]).await;
    let stuck = stuck_grpc_web(gateway.address, &asked()).await;
    notify_large(&database, 1..=EVENTS).await;
    until("it is counted", || async { closed(&gateway).await == 1 }).await;
    drop(stuck);
    // Who leaves by itself is not.
    drop(stuck_grpc_web(gateway.address, &asked()).await);
    notify_large(&database, 1..=1).await;
    until("it is gone", || async {
        gateway.get("/v1/status").await.json()["readers"]["grpc"] == 0
    })
    .await;
    assert_eq!(closed(&gateway).await, 1);
}

/// All that were on the connection.
#[tokio::test(flavor = "multi_thread")]
async fn f17_who_answers_no_ping_is_counted_once_a_reader() {
    let database = Database::new().await;
    let settings = [("write-timeout", "1s"), ("keepalive", "200ms")];
    let gateway = TestGateway::with(&database, &settings).await;
    let link = Link::to(gateway.address.port()).await;
    let mut client = connect(([127, 0, 0, 1], link.port).into()).await;
    let mut streams = Vec::new();
    for call in CALLS {
        streams.push(call.ready(&mut client).await);
    }
    assert_eq!(closed(&gateway).await, 0);
    link.freeze();
    until("all are counted", || async {
        closed(&gateway).await == CALLS.len()
    })
    .await;
}

/// Who leaves by itself was not slow.
#[tokio::test(flavor = "multi_thread")]
async fn f16_a_stream_that_its_client_resets_is_not_counted() {
    let database = Database::new().await;
    let gateway = TestGateway::on(&database).await;
    let mut client = connect(gateway.address).await;
    for call in CALLS {
        drop(call.ready(&mut client).await);
    }
    until("they are gone", || async {
        let status = gateway.get("/v1/status").await.json();
        status["readers"]
            .as_object()
            .unwrap()
            .values()
            .all(|n| n == 0)
    })
    .await;
    assert_eq!(closed(&gateway).await, 0);
}
