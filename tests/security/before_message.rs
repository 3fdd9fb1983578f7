//! The token is checked before a byte of a message is read.

use hyper::{Request, body::Bytes};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    support::{Database, TestGateway, within},
    tokens::{WITH_TOKENS, expired, forged},
};

const METHODS: [&str; 2] = ["Subscribe", "Publish"];
const KINDS: [&str; 3] = [
    "application/grpc",
    "application/grpc-web+proto",
    "application/grpc-web-text",
];

/// With a message that is not sent.
async fn over_http2(gateway: &TestGateway, method: &str, kind: &str, token: Option<&str>) {
    let socket = TcpStream::connect(gateway.address).await.unwrap();
    let (mut client, connection) = h2::client::handshake(socket).await.unwrap();
    tokio::spawn(connection);
    let uri = format!("http://localhost/pgfan.v1.GatewayService/{method}");
    let mut request = Request::post(uri).header("content-type", kind);
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let (answer, mut sending) = client
        .send_request(request.body(()).unwrap(), false)
        .unwrap();
    // The refusal may have ended the stream by now.
    let _ = sending.send_data(Bytes::from_static(&[0, 0]), false);
    let answer = within("a refusal", answer).await.unwrap();
    let headers = answer.headers();
    assert_eq!(headers["grpc-status"], "16", "{method} {kind}");
    assert_eq!(headers["content-type"], kind);
    assert!(headers.contains_key("grpc-status-details-bin"));
}

async fn over_http1(gateway: &TestGateway, method: &str, kind: &str) {
    let mut socket = TcpStream::connect(gateway.address).await.unwrap();
    let head = format!(
        "POST /pgfan.v1.GatewayService/{method} HTTP/1.1\r\nHost: localhost\r\n\
         Content-Type: {kind}\r\nContent-Length: 100\r\n\r\n"
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let reading = async {
        while !answer.windows(4).any(|part| part == b"\r\n\r\n") {
            assert!(socket.read_buf(&mut answer).await.unwrap() > 0);
        }
    };
    within("a refusal", reading).await;
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.contains("grpc-status: 16"), "{answer}");
    assert!(
        answer.contains(&format!("content-type: {kind}")),
        "{answer}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn attack_26_the_token_is_asked_for_before_the_message() {
    let database = Database::new().await;
    // Longer than the test waits.
    let settings = [WITH_TOKENS, ("request-timeout", "1h")];
    let gateway = TestGateway::with(&database, &settings).await;
    let tokens = [None, Some(forged(&["a"])), Some(expired(&["a"]))];
    for method in METHODS {
        for kind in KINDS {
            for token in &tokens {
                over_http2(&gateway, method, kind, token.as_deref()).await;
            }
        }
        for kind in &KINDS[1..] {
            over_http1(&gateway, method, kind).await;
        }
    }
}
