use pgfan::proto::PublishRequest;
use prost::Message as _;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    besieged::Besieged,
    frames::message,
    support::{gateway_process::upgrade, get, request, within},
};

/// An extension that was not negotiated cannot be used (RFC 7692, section 6).
#[tokio::test(flavor = "multi_thread")]
async fn a09_no_compression_of_a_web_socket_is_agreed_on() {
    let mut besieged = Besieged::new().await;
    for path in ["/v1/ws", "/v1/ws?channel=a&format=raw", "/pgpubsub/a"] {
        let mut socket = TcpStream::connect(besieged.address()).await.unwrap();
        let offer = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n";
        let request = upgrade(path).replace("\r\n\r\n", &format!("\r\n{offer}"));
        socket.write_all(request.as_bytes()).await.unwrap();
        // RSV1 and text: a deflated frame, masked with nothing.
        let deflated = [0xc1, 0x84, 0, 0, 0, 0, 0xca, 0x48, 0xcd, 0xc9];
        socket.write_all(&deflated).await.unwrap();
        let mut answer = Vec::new();
        let reading = socket.read_to_end(&mut answer);
        within("the connection ends", reading).await.unwrap();
        let end = answer.windows(4).position(|part| part == b"\r\n\r\n");
        let (head, frames) = answer.split_at(end.unwrap() + 4);
        let head = String::from_utf8_lossy(head).to_lowercase();
        assert!(head.starts_with("http/1.1 101"), "{head}");
        assert!(!head.contains("extensions"), "{head}");
        assert_eq!(frames[0], 0x88, "{path}");
        assert_eq!(frames[2..4], 1002_u16.to_be_bytes(), "{path}");
    }
    besieged.others_are_served().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a09_a_compressed_publish_is_refused() {
    let mut besieged = Besieged::new().await;
    let address = besieged.address();
    for encoding in ["gzip", "deflate", "br", "GZIP", "identity, gzip", "x"] {
        let headers = [("content-encoding", encoding)];
        let answer = request(address, "POST", "/v1/channels/others", &headers, "x".into()).await;
        assert_eq!(answer.status(), 415, "{encoding}");
        assert_eq!(
            answer.headers()["accept-encoding"],
            "identity",
            "{encoding}"
        );
    }
    let headers = [("content-encoding", "identity")];
    let answer = request(address, "POST", "/v1/channels/a", &headers, "x".into()).await;
    assert_eq!(answer.status(), 204);
    // Nothing of it was published.
    besieged.others_are_served().await;
}

/// RFC 9112, section 6.1; on HTTP/1.1, hyper itself removes `chunked`.
#[tokio::test(flavor = "multi_thread")]
async fn a09_a_body_with_another_transfer_coding_is_refused() {
    let mut besieged = Besieged::new().await;
    for (coding, status) in [
        ("gzip, chunked", "501"),
        ("GZIP, Chunked", "501"),
        ("deflate\r\nTransfer-Encoding: chunked", "501"),
        ("identity, chunked", "501"),
        ("Chunked", "204"),
    ] {
        let mut socket = TcpStream::connect(besieged.address()).await.unwrap();
        let request = format!(
            "POST /v1/channels/a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: {coding}\r\n\r\n\
             1\r\nx\r\n0\r\n\r\n"
        );
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut answer = [0; 12];
        within("an answer", socket.read_exact(&mut answer))
            .await
            .unwrap();
        assert_eq!(answer, *format!("HTTP/1.1 {status}").as_bytes(), "{coding}");
    }
    besieged.others_are_served().await;
}

/// UNIMPLEMENTED, with the encodings that are accepted
/// (<https://github.com/grpc/grpc/blob/master/doc/compression.md>).
#[tokio::test(flavor = "multi_thread")]
async fn a09_a_compressed_grpc_message_is_refused() {
    let mut besieged = Besieged::new().await;
    let say = PublishRequest {
        channel: "others".to_owned(),
        payload: "x".to_owned(),
    };
    let say = say.encode_to_vec();
    for (encoding, compressed, status) in [("gzip", true, "12"), ("identity", true, "13")] {
        let headers = [
            ("content-type", "application/grpc-web+proto"),
            ("grpc-encoding", encoding),
        ];
        let path = "/pgfan.v1.GatewayService/Publish";
        let body = message(compressed, &say);
        let answer = request(besieged.address(), "POST", path, &headers, body.into()).await;
        assert_eq!(answer.headers()["grpc-status"], status, "{encoding}");
    }
    besieged.others_are_served().await;
}

/// Nor does the gateway compress its answers: the length would reveal a secret
/// beside text that an attacker chose.
#[tokio::test(flavor = "multi_thread")]
async fn a09_what_is_answered_is_not_compressed() {
    let besieged = Besieged::new().await;
    let headers = [("accept-encoding", "gzip, br, zstd, deflate")];
    for path in ["/nothing", "/readyz"] {
        let answer = get(besieged.address(), path, &headers).await;
        assert_eq!(answer.header("content-encoding"), "");
    }
}
