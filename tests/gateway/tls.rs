//! TLS on the same port: every transport over it, client certificates, and
//! input that is not TLS.

mod crowd;
mod dates;
mod reload;
mod slow;

use std::time::Duration;

use http_body_util::BodyExt;
use pgfan::proto::PublishRequest;
use prost::Message;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::Instant,
};

use crate::support::{
    Answer, Database, EventSource, Reader, TestGateway, WebSocket, Wire, answer_over,
    certificates::Authority,
    gateway_process::{GatewayProcess, pgfan, upgrade},
    get_h2_over,
    tls::{Certificates, TlsClient},
    until, within,
};

/// A gateway that serves TLS.
struct Secured {
    database: Database,
    gateway: TestGateway,
    certificates: Certificates,
}

impl Secured {
    /// Starts a gateway that has not connected yet.
    async fn starting(settings: &[(&str, &str)]) -> Self {
        let (database, certificates) = (Database::new().await, Certificates::new());
        let tls = certificates.settings();
        let tls = tls.iter().map(|(name, path)| (*name, path.as_str()));
        let settings: Vec<_> = tls.chain(settings.iter().copied()).collect();
        let gateway = TestGateway::starting(&database.url, &settings);
        Self {
            database,
            gateway,
            certificates,
        }
    }

    /// Starts a gateway and waits until it is live.
    async fn with(settings: &[(&str, &str)]) -> Self {
        let secured = Self::starting(settings).await;
        secured.ready(&secured.certificates.client()).await;
        secured
    }

    async fn ready(&self, client: &TlsClient) {
        until("/readyz is 200", || async {
            let answer = self.ask(client, "GET", "/readyz", "").await;
            answer.is_some_and(|answer| answer.status == 200)
        })
        .await;
    }

    /// Sends a request; `None` if the client is not let in.
    async fn ask(
        &self,
        client: &TlsClient,
        method: &str,
        path: &str,
        body: &'static str,
    ) -> Option<Answer> {
        let connected = client.connect(self.gateway.address, "http/1.1").await;
        answer_over(connected.ok()?, method, path, &[], body).await
    }

    async fn reader(&self, wire: Wire) -> Reader {
        let protocol = match wire {
            Wire::Grpc => "h2",
            _ => "http/1.1",
        };
        let client = self.certificates.client();
        let socket = client.connect(self.gateway.address, protocol).await;
        let mut reader = Reader::over(socket.unwrap(), wire, &["a"], None).await;
        reader.ready().await;
        reader
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_wire_is_the_same_over_it() {
    let secured = Secured::with(&[]).await;
    for wire in Wire::ALL {
        let mut reader = secured.reader(wire).await;
        secured.database.notify("a", "one").await;
        assert_eq!(reader.event().await.1, "one", "{wire:?}");
        secured.database.notify_range("a", 1, 1000).await;
        let expected: Vec<_> = (1..=1000).map(|n| n.to_string()).collect();
        assert_eq!(reader.payloads(1000).await, expected, "{wire:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn raw_frames_and_what_clients_say_pass_too() {
    let secured = Secured::with(&[("allow-publish", "on")]).await;
    let client = secured.certificates.client();
    let connect = || client.connect(secured.gateway.address, "");
    let path = "/v1/ws?channel=a&format=raw";
    let mut raw = WebSocket::over(connect().await.unwrap(), path)
        .await
        .unwrap();
    let json = WebSocket::over(connect().await.unwrap(), "/v1/ws").await;
    let mut json = json.unwrap();
    json.say(r#"{"type":"publish","channel":"a","payload":"said","ref":"1"}"#)
        .await;
    assert_eq!(raw.text().await.unwrap(), "said");
    let answered = json.text().await.unwrap();
    assert!(answered.contains("\"published\""), "{answered}");
    // Longer than a TLS record, which is 16 KiB.
    json.say(&"x".repeat(40_000)).await;
    assert!(json.text().await.unwrap().contains("invalid_request"));
    secured.gateway.stop().await;
    assert_eq!(raw.text().await.unwrap_err().0, 1012);
    assert_eq!(json.text().await.unwrap_err().0, 1012);
}

#[tokio::test(flavor = "multi_thread")]
async fn http_grpc_web_and_streams_of_http_2_pass_too() {
    let secured = Secured::with(&[("allow-publish", "on")]).await;
    let client = secured.certificates.client();
    let connect = |protocol| client.connect(secured.gateway.address, protocol);
    let path = "/v1/sse?channel=a&format=raw";
    let answer = get_h2_over(connect("h2").await.unwrap(), path, &[]).await;
    assert_eq!(answer.status(), 200);
    let mut body = answer.into_body();
    let mut source = EventSource::default();
    let mut heard = Vec::new();
    let mut hear = async |count: usize| {
        while heard.len() < count {
            let frame = within("a chunk", body.frame()).await.unwrap().unwrap();
            let messages = source.feed(&frame.into_data().unwrap());
            heard.extend(messages.into_iter().map(|message| message.data));
        }
        heard.last().cloned().unwrap()
    };
    hear(1).await;
    let path = "/v1/channels/a";
    let answer = secured.ask(&client, "POST", path, "by HTTP").await;
    assert_eq!(answer.unwrap().status, 204);
    assert_eq!(hear(2).await, "by HTTP");
    let request = PublishRequest {
        channel: "a".into(),
        payload: "by gRPC-Web".into(),
    };
    let request = request.encode_to_vec();
    let length = u32::try_from(request.len()).unwrap().to_be_bytes();
    let framed = [&[0][..], &length, &request].concat();
    let headers = [
        ("content-type", "application/grpc-web+proto"),
        ("x-grpc-web", "1"),
    ];
    let path = "/pgfan.v1.GatewayService/Publish";
    let socket = connect("http/1.1").await.unwrap();
    let answer = answer_over(socket, "POST", path, &headers, framed).await;
    let body = answer.unwrap().body;
    assert!(body.windows(13).any(|part| part == b"grpc-status:0"));
    assert_eq!(hear(3).await, "by gRPC-Web");
}

/// RFC 8446, section 6.1: without close_notify, the end could be a truncation
/// by an attacker.
#[tokio::test(flavor = "multi_thread")]
async fn tls_is_told_of_an_end() {
    let secured = Secured::with(&[]).await;
    let client = secured.certificates.client();
    let address = secured.gateway.address;
    let mut socket = client.connect(address, "").await.unwrap();
    let request = upgrade("/v1/ws?channel=a");
    socket.write_all(request.as_bytes()).await.unwrap();
    // The client's close frame (RFC 6455, section 5.5.1).
    socket.write_all(b"\x88\x80\0\0\0\0").await.unwrap();
    socket.flush().await.unwrap();
    let mut heard = Vec::new();
    let end = within("it ends", socket.read_to_end(&mut heard)).await;
    assert!(end.is_ok(), "{end:?}");
    assert!(heard.starts_with(b"HTTP/1.1 101 "));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_needs_a_certificate_where_that_is_asked_for() {
    let clients = Certificates::new();
    let secured = Secured::starting(&[("tls-client-ca", &clients.path("ca"))]).await;
    // The authority of the gateway's certificate is no authority for clients.
    let good = &secured.certificates.authority;
    let own = TlsClient::new(good, Some(&clients.authority.client("ann")));
    secured.ready(&own).await;
    let bad = Authority::new("good");
    for client in [
        secured.certificates.client(),
        TlsClient::new(good, Some(&bad.client("ann"))),
        TlsClient::new(good, Some(&good.client("ann"))),
        TlsClient::new(good, Some(&clients.authority.server(&["ann"]))),
    ] {
        let answer = secured.ask(&client, "GET", "/healthz", "").await;
        assert!(answer.is_none(), "{answer:?}");
    }
    let answer = secured.ask(&own, "GET", "/healthz", "").await;
    assert_eq!(answer.unwrap().status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_text_is_dropped_and_the_log_says_why() {
    let (database, certificates) = (Database::new().await, Certificates::new());
    let mut command = pgfan();
    command.arg("serve").env("RUST_LOG", "pgfan=debug,info");
    command.args(["--database-url", &database.url]);
    for (name, path) in certificates.settings() {
        command.args([format!("--{name}"), path]);
    }
    let mut gateway = GatewayProcess::serve(&mut command).await;
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    for said in [&b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"[..], preface] {
        let mut socket = TcpStream::connect(gateway.address).await.unwrap();
        socket.write_all(said).await.unwrap();
        let mut heard = Vec::new();
        // A reset is also an end.
        let _ = within("it ends", socket.read_to_end(&mut heard)).await;
        // A TLS alert (RFC 8446, section 6), and no HTTP.
        assert!(heard.is_empty() || heard[0] == 21, "{heard:?}");
        gateway.logged("plain text on a port").await;
    }
    let client = certificates.client();
    let socket = client.connect(gateway.address, "").await.unwrap();
    let answer = answer_over(socket, "GET", "/healthz", &[], "").await;
    assert_eq!(answer.unwrap().status, 200);
    gateway.stop().await;
}

/// The timeout of 10 s is also that for an HTTP head.
#[tokio::test(flavor = "multi_thread")]
async fn who_begins_a_handshake_and_never_ends_it_is_dropped() {
    let secured = Secured::with(&[]).await;
    let began = Instant::now();
    let mut half = Vec::new();
    for begun in [&b""[..], b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"] {
        for _ in 0..50 {
            let mut socket = TcpStream::connect(secured.gateway.address).await.unwrap();
            socket.write_all(begun).await.unwrap();
            half.push(socket);
        }
    }
    let client = secured.certificates.client();
    let whole = client.connect(secured.gateway.address, "").await;
    let mut reader = secured.reader(Wire::WebSocket).await;
    secured.database.notify("a", "meanwhile").await;
    assert_eq!(reader.event().await.1, "meanwhile");
    let served = began.elapsed();
    assert!(served < Duration::from_secs(9), "{served:?}");
    for mut socket in half {
        let end = within("it is dropped", socket.read(&mut [0; 64])).await;
        assert!(matches!(end, Ok(0) | Err(_)), "{end:?}");
    }
    // So is a client that completes the handshake and sends no request.
    let end = within("it is dropped", whole.unwrap().read(&mut [0; 64])).await;
    assert!(matches!(end, Ok(0) | Err(_)), "{end:?}");
    let dropped = began.elapsed();
    assert!(dropped > Duration::from_secs(9), "{dropped:?}");
    assert!(dropped < Duration::from_secs(14), "{dropped:?}");
}
