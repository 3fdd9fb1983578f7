//! Delivery without buffering, streams that stay open, and requests that are
//! blocked.

use http_body_util::BodyExt;
use hyper::body::Incoming;
use pgfan::proto::SubscribeRequest;
use prost::Message as _;
use tokio_tungstenite::tungstenite::Message;

use crate::{
    proxy::{Kind, Proxy},
    support::{Database, EventStream, Reader, TestGateway, WebSocket, Wire, within},
};

/// Long enough that no heartbeat pushes an event through a buffer.
const SILENT: (&str, &str) = ("keepalive", "1h");

/// gRPC-Web as a page receives it: its raw bytes.
async fn grpc_web(proxy: &Proxy) -> Incoming {
    let request = SubscribeRequest {
        channels: vec!["a".to_owned()],
        cursor: String::new(),
        heartbeat: false,
    };
    let message = request.encode_to_vec();
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    let framed = [&[0], &length[..], &message].concat();
    let path = "/pgfan.v1.GatewayService/Subscribe";
    let headers = [
        ("content-type", "application/grpc-web+proto"),
        ("x-grpc-web", "1"),
    ];
    let answered = proxy.request("POST", path, &headers, framed).await;
    assert_eq!(answered.status(), 200);
    answered.into_body()
}

/// Reads until this text was received.
async fn shows(body: &mut Incoming, text: &str) {
    let mut bytes = Vec::new();
    let shown = async {
        while !bytes
            .windows(text.len())
            .any(|part| part == text.as_bytes())
        {
            let frame = body.frame().await.expect("the stream goes on").unwrap();
            bytes.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data));
        }
    };
    within(text, shown).await;
}

async fn ready(proxy: &Proxy) -> Vec<Reader> {
    let mut readers = Vec::new();
    for wire in Wire::ALL {
        let mut reader = proxy.reader(wire, None).await;
        reader.ready().await;
        readers.push(reader);
    }
    readers
}

/// The gateway sends nothing else, so data in a buffer would stay there.
async fn delivers_at_once(kind: Kind) {
    let database = Database::new().await;
    let gateway = TestGateway::with(&database, &[SILENT]).await;
    let proxy = Proxy::start(kind, gateway.address).await;
    let mut readers = ready(&proxy).await;
    let mut page = grpc_web(&proxy).await;
    shows(&mut page, "a").await;
    for payload in ["first", "second", "third"] {
        database.notify("a", payload).await;
        for reader in &mut readers {
            assert_eq!(reader.event().await.1, payload);
        }
        shows(&mut page, payload).await;
    }
}

/// For longer than the proxy's timeout for silent connections.
async fn idle_streams_stay(kind: Kind) {
    let database = Database::new().await;
    let gateway = TestGateway::with(&database, &[("keepalive", "500ms")]).await;
    let proxy = Proxy::with(kind, gateway.address, "2s").await;
    let mut readers = ready(&proxy).await;
    let mut page = grpc_web(&proxy).await;
    shows(&mut page, "a").await;
    let connection = proxy.connect("http/1.1").await;
    let idle = WebSocket::over(connection, "/v1/ws?channel=a").await;
    let mut idle = idle.unwrap();
    let mut pings = 0;
    while pings < 10 {
        let frame = within("a ping", idle.frame()).await;
        let frame = frame.expect("the idle stream goes on");
        pings += u32::from(matches!(frame, Message::Ping(_)));
    }
    database.notify("a", "still there").await;
    for reader in &mut readers {
        assert_eq!(reader.event().await.1, "still there");
    }
    shows(&mut page, "still there").await;
}

/// A page of the proxy's host counts as the gateway's own; it can publish; the
/// operator's pages are not available to it.
async fn pages_have_what_is_theirs(kind: Kind) {
    let database = Database::new().await;
    let settings = [("allow-publish", "on")];
    let gateway = TestGateway::with(&database, &settings).await;
    let proxy = Proxy::start(kind, gateway.address).await;
    for (origin, status) in [
        ("https://localhost", 200),
        ("https://evil.example", 403),
        // The proxy reports that its client used TLS.
        ("http://localhost", 403),
    ] {
        let headers = [("origin", origin)];
        let connection = proxy.connect("http/1.1").await;
        let opened = EventStream::over(connection, "/v1/sse?channel=a", &headers).await;
        assert_eq!(
            opened.map_or_else(|status| status, |_| 200),
            status,
            "{origin}"
        );
    }
    let mut reader = proxy.reader(Wire::Sse, None).await;
    reader.ready().await;
    let published = proxy.request("POST", "/v1/channels/a", &[], "hello").await;
    assert_eq!(published.status(), 204);
    assert_eq!(reader.event().await.1, "hello");
    for path in ["/metrics", "/readyz"] {
        let status = proxy.request("GET", path, &[], "").await.status().as_u16();
        assert!([403, 404].contains(&status), "{path}: {status}");
    }
    let healthy = proxy.request("GET", "/healthz", &[], "").await;
    assert_eq!(healthy.status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn nginx_delivers_at_once() {
    delivers_at_once(Kind::Nginx).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn haproxy_delivers_at_once() {
    delivers_at_once(Kind::HaProxy).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn caddy_delivers_at_once() {
    delivers_at_once(Kind::Caddy).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_streams_stay_behind_nginx() {
    idle_streams_stay(Kind::Nginx).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_streams_stay_behind_haproxy() {
    idle_streams_stay(Kind::HaProxy).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_streams_stay_behind_caddy() {
    idle_streams_stay(Kind::Caddy).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_have_what_is_theirs_behind_each() {
    for kind in Kind::ALL {
        pages_have_what_is_theirs(kind).await;
    }
}
