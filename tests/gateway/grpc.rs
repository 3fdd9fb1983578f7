//! gRPC specifics: the details of a refusal, and requests that are not gRPC
//! calls.

use http_body_util::{BodyExt as _, Full};
use hyper::{Request, Response, body::Bytes, body::Incoming};
use hyper_util::rt::{TokioExecutor, TokioIo};
use pgfan::proto::{PublishRequest, SubscribeRequest};
use tokio::net::TcpStream;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::support::{
    Answer, Connection, Database, TestGateway, answer_over, grpc_client, request,
    tls::Certificates, within,
};

const SUBSCRIBE: &str = "/pgfan.v1.GatewayService/Subscribe";

fn subscribe(channels: &[&str]) -> SubscribeRequest {
    SubscribeRequest {
        channels: channels.iter().map(|name| name.to_string()).collect(),
        cursor: String::new(),
        heartbeat: false,
    }
}

/// Status and reason, and whether a retry delay is given.
fn told(status: &Status) -> (Code, String, bool) {
    let details = status.get_error_details();
    let info = details.error_info().expect("an ErrorInfo");
    assert_eq!(info.domain, "pgfan");
    let delay = details.retry_info().map(|retry| retry.retry_delay.unwrap());
    assert!(delay.is_none_or(|delay| delay.as_secs() == 2));
    (status.code(), info.reason.clone(), delay.is_some())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_refusal_has_its_code_in_the_details() {
    let database = Database::new().await;
    let settings = [("max-channels-per-reader", "2")];
    let gateway = TestGateway::with(&database, &settings).await;
    let mut client = grpc_client(gateway.address).await;
    let refused = |code, reason: &str, later| (code, reason.to_owned(), later);
    for (channels, expected) in [
        (
            &[][..],
            refused(Code::InvalidArgument, "invalid_request", false),
        ),
        (
            &["pgfan:x"],
            refused(Code::PermissionDenied, "forbidden", false),
        ),
        (
            &["a", "b", "c"],
            refused(Code::ResourceExhausted, "too_many", true),
        ),
    ] {
        let status = client.subscribe(subscribe(channels)).await.unwrap_err();
        assert_eq!(told(&status), expected, "{channels:?}");
    }
    let publish = PublishRequest {
        channel: "a".into(),
        payload: "x".into(),
    };
    let status = client.publish(publish).await.unwrap_err();
    assert_eq!(
        told(&status),
        refused(Code::PermissionDenied, "forbidden", false)
    );
}

/// Also at the end of a stream, and for a stream that is never ready.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_ends_has_its_code_in_the_details() {
    let database = Database::new().await;
    let gateway = TestGateway::on(&database).await;
    let mut client = grpc_client(gateway.address).await;
    let mut stream = client
        .subscribe(subscribe(&["a"]))
        .await
        .unwrap()
        .into_inner();
    within("ready", stream.message()).await.unwrap().unwrap();
    gateway.stop().await;
    let status = within("its end", stream.message()).await.unwrap_err();
    let expected = (Code::Unavailable, "shutting_down".to_owned(), true);
    assert_eq!(told(&status), expected);

    let nobody = "postgres://pgfan@127.0.0.1:1/none";
    let gateway = TestGateway::starting(nobody, &[("subscribe-timeout", "1s")]);
    let mut client = grpc_client(gateway.address).await;
    let mut stream = client
        .subscribe(subscribe(&["a"]))
        .await
        .unwrap()
        .into_inner();
    let status = within("its end", stream.message()).await.unwrap_err();
    let expected = (Code::Unavailable, "source_unavailable".to_owned(), true);
    assert_eq!(told(&status), expected);
}

/// The status of gRPC's own specification, together with the contract's code.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_library_refuses_has_its_code_too() {
    let database = Database::new().await;
    let gateway = TestGateway::on(&database).await;
    let framed = |message: &[u8]| {
        let length = u32::try_from(message.len()).unwrap().to_be_bytes();
        Bytes::from([&[0], &length[..], message].concat())
    };
    let announced = |length: u32| Bytes::from([&[0], &length.to_be_bytes()[..]].concat());
    for (path, body, code, reason) in [
        (
            SUBSCRIBE,
            framed(b"\xff\xff\xff"),
            Code::Internal,
            "invalid_request",
        ),
        (SUBSCRIBE, Bytes::new(), Code::Internal, "invalid_request"),
        (
            SUBSCRIBE,
            announced(5 << 20),
            Code::InvalidArgument,
            "payload_too_large",
        ),
        (
            "/pgfan.v1.GatewayService/No",
            framed(b""),
            Code::Unimplemented,
            "not_found",
        ),
        (
            "/no.such.Service/No",
            framed(b""),
            Code::Unimplemented,
            "not_found",
        ),
    ] {
        let socket = TcpStream::connect(gateway.address).await.unwrap();
        let answer = over_http_2(socket, path, Some("application/grpc"), body).await;
        let status = Status::from_header_map(answer.headers()).unwrap();
        assert_eq!(told(&status), (code, reason.to_owned(), false), "{path}");
        assert!(!status.message().is_empty(), "{path}");
    }
}

/// A page cannot read trailers: they are in the body, and those of a refusal in
/// the head.
#[tokio::test(flavor = "multi_thread")]
async fn grpc_web_has_the_details_too() {
    let database = Database::new().await;
    let gateway = TestGateway::on(&database).await;
    let headers = [("content-type", "application/grpc-web+proto")];
    let call = |message: &'static [u8]| {
        let length = u32::try_from(message.len()).unwrap().to_be_bytes();
        let body = Bytes::from([&[0], &length[..], message].concat());
        request(gateway.address, "POST", SUBSCRIBE, &headers, body)
    };
    let refused = call(b"").await;
    let status = Status::from_header_map(refused.headers()).unwrap();
    assert_eq!(told(&status).1, "invalid_request");
    // The channel `a`.
    let mut body = call(b"\x0a\x01a").await.into_body();
    within("ready", body.frame()).await.unwrap().unwrap();
    gateway.begin_shutdown();
    let rest = within("its end", body.collect()).await.unwrap().to_bytes();
    let text = String::from_utf8_lossy(&rest);
    assert!(text.contains("grpc-status:14"), "{text:?}");
    assert!(text.contains("grpc-status-details-bin:"), "{text:?}");
}

/// Requests that are not gRPC calls, and their status.
const NO_CALLS: [(Option<&str>, u16); 6] = [
    (Some("application/json"), 415),
    (Some("application/connect+json"), 415),
    (Some("application/proto"), 415),
    (Some("application/grpc+json"), 415),
    (Some(""), 415),
    (None, 415),
];

const SERVICES: [&str; 4] = [
    SUBSCRIBE,
    "/pgfan.v1.GatewayService/Publish",
    "/grpc.health.v1.Health/Check",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
];

#[tokio::test(flavor = "multi_thread")]
async fn json_and_connect_are_answered_415() {
    let database = Database::new().await;
    let gateway = TestGateway::on(&database).await;
    for path in SERVICES {
        for (kind, status) in NO_CALLS {
            let socket = TcpStream::connect(gateway.address).await.unwrap();
            let headers: Vec<_> = kind
                .map(|kind| ("content-type", kind))
                .into_iter()
                .collect();
            let answer = answer_over(socket, "POST", path, &headers, "{}").await;
            is_problem(
                answer.unwrap(),
                status,
                &format!("HTTP/1.1 {path} {kind:?}"),
            );
            let socket = TcpStream::connect(gateway.address).await.unwrap();
            let answer = over_http_2(socket, path, kind, "{}".into()).await;
            is_problem(
                whole(answer).await,
                status,
                &format!("HTTP/2 {path} {kind:?}"),
            );
        }
        // gRPC itself requires HTTP/2 and POST.
        let grpc = [("content-type", "application/grpc")];
        let socket = TcpStream::connect(gateway.address).await.unwrap();
        let answer = answer_over(socket, "POST", path, &grpc, "").await;
        is_problem(answer.unwrap(), 505, path);
        let socket = TcpStream::connect(gateway.address).await.unwrap();
        let answer = answer_over(socket, "GET", path, &grpc, "").await;
        is_problem(answer.unwrap(), 405, path);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn json_is_answered_415_over_tls_too() {
    let database = Database::new().await;
    let certificates = Certificates::new();
    let settings = certificates.settings();
    let settings = settings.iter().map(|(name, path)| (*name, path.as_str()));
    let settings: Vec<_> = settings.collect();
    let gateway = TestGateway::starting(&database.url, &settings);
    let client = certificates.client();
    let connect = |protocol| client.connect(gateway.address, protocol);
    let json = [("content-type", "application/json")];
    let socket = connect("http/1.1").await.unwrap();
    let answer = answer_over(socket, "POST", SUBSCRIBE, &json, "{}").await;
    is_problem(answer.unwrap(), 415, "HTTP/1.1");
    let socket = connect("h2").await.unwrap();
    let answer = over_http_2(socket, SUBSCRIBE, Some("application/json"), "{}".into()).await;
    is_problem(whole(answer).await, 415, "HTTP/2");
}

fn is_problem(answer: Answer, status: u16, what: &str) {
    assert_eq!(answer.status, status, "{what}");
    assert_eq!(
        answer.header("content-type"),
        "application/problem+json",
        "{what}"
    );
    assert_eq!(answer.code(), "invalid_request", "{what}");
    assert_eq!(answer.json()["status"], status, "{what}");
    assert_eq!(
        answer.header("accept").contains("application/grpc"),
        status == 415,
        "{what}"
    );
}

async fn over_http_2(
    socket: impl Connection,
    path: &str,
    kind: Option<&str>,
    body: Bytes,
) -> Response<Incoming> {
    let io = TokioIo::new(socket);
    let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await;
    let (mut sender, connection) = handshake.unwrap();
    tokio::spawn(connection);
    let mut head = Request::post(format!("http://localhost{path}"));
    if let Some(kind) = kind {
        head = head.header("content-type", kind);
    }
    let asked = head.body(Full::new(body)).unwrap();
    within("an answer", sender.send_request(asked))
        .await
        .unwrap()
}

async fn whole(answer: Response<Incoming>) -> Answer {
    let (head, body) = answer.into_parts();
    let body = within("a body", body.collect()).await.unwrap().to_bytes();
    Answer {
        status: head.status.as_u16(),
        headers: head.headers,
        body,
    }
}
