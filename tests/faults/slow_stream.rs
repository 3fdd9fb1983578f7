//! HTTP/2 readers that do not read, or do not answer, are counted as slow, on every
//! API, and over gRPC they get a status if possible.

use std::net::SocketAddr;

use h2::{Reason, RecvStream, client::SendRequest};
use hyper::{Request, body::Bytes};
use pgfan::proto::SubscribeRequest;
use prost::Message as _;
use tokio::net::TcpStream;
use tonic::transport::Endpoint;
use tonic_types::StatusExt as _;

use crate::support::{
    Database, Link, TestGateway,
    large::{EVENTS, notify_large},
    stuck_grpc_web, until, within,
};
use pgfan::proto::gateway_service_client::GatewayServiceClient;

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
    /// A reader of `a` that is ready, and whose window is not increased.
    async fn ready(self, client: &mut SendRequest<Bytes>) -> RecvStream {
        let kind = match self {
            Self::Sse => {
                return ready(
                    client,
                    Request::get("http://localhost/v1/sse?channel=a"),
                    Bytes::new(),
                )
                .await;
            }
            Self::Grpc => "application/grpc",
            Self::GrpcWeb => "application/grpc-web+proto",
        };
        let head = Request::post("http://localhost/pgfan.v1.GatewayService/Subscribe");
        let head = head.header("content-type", kind).header("te", "trailers");
        ready(client, head, asked().into()).await
    }
}

/// A call for the channel `a`.
fn asked() -> Vec<u8> {
    let asked = SubscribeRequest {
        channels: vec!["a".into()],
        cursor: String::new(),
        heartbeat: false,
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
        // More than fits into its window.
        notify_large(&database, 1..=40).await;
        until(&format!("{call:?} is counted"), || async {
            closed(&gateway).await == 1
        })
        .await;
        drop(stuck);
    }
}

/// Result of a stream that is finally read.
enum End {
    Trailers(hyper::HeaderMap),
    Reset(Reason),
}

/// Everything that was sent, and how it ended.
async fn read_on(mut stream: RecvStream) -> (Vec<u8>, End) {
    let mut read = Vec::new();
    loop {
        match within("its end", stream.data()).await {
            Some(Ok(part)) => {
                // The stream may have ended already.
                let _ = stream.flow_control().release_capacity(part.len());
                read.extend_from_slice(&part);
            }
            Some(Err(error)) => return (read, End::Reset(error.reason().unwrap())),
            None => {
                let trailers = within("trailers", stream.trailers()).await.unwrap();
                return (read, End::Trailers(trailers.unwrap()));
            }
        }
    }
}

/// Whether these are whole messages (gRPC's five bytes before each).
fn are_whole(mut messages: &[u8]) -> bool {
    while let Some((prefix, rest)) = messages.split_at_checked(5) {
        let length = u32::from_be_bytes(prefix[1..].try_into().unwrap());
        let Some(rest) = rest.get(length as usize..) else {
            return false;
        };
        messages = rest;
    }
    messages.is_empty()
}

/// Its window is closed for messages, but not for a status.
#[tokio::test(flavor = "multi_thread")]
async fn f16_a_grpc_stream_that_takes_nothing_ends_with_a_status_after_whole_messages() {
    let database = Database::new().await;
    let gateway = TestGateway::with(&database, &[("write-timeout", "1s")]).await;
    let mut client = connect(gateway.address).await;
    let stream = Call::Grpc.ready(&mut client).await;
    // More than fits into its window, written by the reader's task and by a
    // FanoutWorker.
    database.notify_range("a", 1, 500).await;
    until("it is counted", || async {
        database.notify_range("a", 1, 100).await;
        closed(&gateway).await == 1
    })
    .await;
    let (messages, End::Trailers(trailers)) = read_on(stream).await else {
        panic!("it is reset")
    };
    assert!(messages.len() > 60_000, "{}", messages.len());
    assert!(are_whole(&messages));
    assert_eq!(trailers["grpc-status"], "14");
    assert!(trailers.contains_key("grpc-status-details-bin"));
}

/// The status is queued behind messages that h2 holds until the connection's window
/// opens; nothing is held for long for a client that never reads.
#[tokio::test(flavor = "multi_thread")]
async fn f16_streams_that_share_a_shut_connection_end_too() {
    let database = Database::new().await;
    let gateway = TestGateway::with(&database, &[("write-timeout", "1s")]).await;
    let mut client = connect(gateway.address).await;
    let mut streams = Vec::new();
    for _ in 0..8 {
        streams.push(Call::Grpc.ready(&mut client).await);
    }
    database.notify_range("a", 1, 5000).await;
    until("all are counted", || async { closed(&gateway).await == 8 }).await;
    until("nobody keeps a place", || async {
        gateway.get("/v1/status").await.json()["readers"]["grpc"] == 0
    })
    .await;
    for stream in streams {
        match read_on(stream).await.1 {
            End::Trailers(trailers) => assert_eq!(trailers["grpc-status"], "14"),
            End::Reset(reason) => assert_eq!(reason, Reason::CANCEL),
        }
    }
}

/// A message that is larger than the remaining window is cut, and a status after
/// half of a message would be invalid.
#[tokio::test(flavor = "multi_thread")]
async fn f16_a_grpc_stream_that_is_cut_in_a_message_is_reset() {
    let database = Database::new().await;
    let gateway = TestGateway::with(&database, &[("write-timeout", "1s")]).await;
    let mut client = connect(gateway.address).await;
    let stream = Call::Grpc.ready(&mut client).await;
    notify_large(&database, 1..=40).await;
    until("it is counted", || async { closed(&gateway).await == 1 }).await;
    let (_, End::Reset(reason)) = read_on(stream).await else {
        panic!("a status after half a message")
    };
    assert_eq!(reason, Reason::CANCEL);
}

/// tonic's client, which reads its stream again too late.
#[tokio::test(flavor = "multi_thread")]
async fn f16_tonic_shows_a_slow_reader_that_it_should_come_back() {
    let database = Database::new().await;
    let gateway = TestGateway::with(&database, &[("write-timeout", "1s")]).await;
    let endpoint = Endpoint::from_shared(format!("http://{}", gateway.address)).unwrap();
    let endpoint = endpoint.initial_stream_window_size(65_535);
    let mut client = GatewayServiceClient::new(endpoint.connect().await.unwrap());
    let asked = SubscribeRequest {
        channels: vec!["a".into()],
        cursor: String::new(),
        heartbeat: false,
    };
    let mut stream = client.subscribe(asked).await.unwrap().into_inner();
    within("ready", stream.message()).await.unwrap().unwrap();
    database.notify_range("a", 1, 20_000).await;
    until("it is counted", || async { closed(&gateway).await == 1 }).await;
    let mut heard = 0;
    let status = loop {
        match within("its end", stream.message()).await {
            Ok(message) => heard += i32::from(message.is_some()),
            Err(status) => break status,
        }
    };
    assert!(heard > 0);
    assert_eq!(status.code(), tonic::Code::Unavailable, "{status:?}");
    let info = status.get_details_error_info().unwrap();
    assert_eq!((&*info.reason, &*info.domain), ("write_timeout", "pgfan"));
    assert!(status.get_details_retry_info().is_some());
}

/// On HTTP/1.1 the connection is the stream.
#[tokio::test(flavor = "multi_thread")]
async fn f16_grpc_web_over_http1_that_takes_nothing_is_counted() {
    let database = Database::new().await;
    let gateway = TestGateway::with(&database, &[("write-timeout", "1s")]).await;
    let stuck = stuck_grpc_web(gateway.address, &asked()).await;
    notify_large(&database, 1..=EVENTS).await;
    until("it is counted", || async { closed(&gateway).await == 1 }).await;
    drop(stuck);
    // A reader that leaves by itself is not counted.
    drop(stuck_grpc_web(gateway.address, &asked()).await);
    notify_large(&database, 1..=1).await;
    until("it is gone", || async {
        gateway.get("/v1/status").await.json()["readers"]["grpc"] == 0
    })
    .await;
    assert_eq!(closed(&gateway).await, 1);
}

/// All readers on the connection are counted.
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

/// A reader that leaves by itself was not slow.
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
