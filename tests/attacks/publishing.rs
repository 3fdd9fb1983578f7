use std::net::{IpAddr, SocketAddr};

use http_body_util::BodyExt;
use hyper::body::Bytes;
use pgfan::proto::PublishRequest;
use prost::Message as _;
use serde_json::json;
use tokio::time::Instant;
use tonic::Request;

use crate::{
    besieged::Besieged,
    guests::{connect, loopback},
    support::{Said, WebSocket, grpc_over, request_over, until},
    tokens::{SECRET, now, with_claims},
};

#[derive(Debug, Clone, Copy)]
pub enum Wire {
    Http,
    WebSocket,
    Grpc,
    GrpcWeb,
}

pub const WIRES: [Wire; 4] = [Wire::Http, Wire::WebSocket, Wire::Grpc, Wire::GrpcWeb];

/// Per second.
const RATE: usize = 5;

pub const CHANNEL: &str = "told";

/// Whether it was published; otherwise it was over the rate.
pub async fn publish(wire: Wire, from: IpAddr, to: SocketAddr, token: Option<&str>) -> bool {
    let socket = connect(from, to).await;
    let bearer = token.map(|token| format!("Bearer {token}"));
    let headers: Vec<_> = bearer
        .iter()
        .map(|b| ("authorization", b.as_str()))
        .collect();
    let message = PublishRequest {
        channel: CHANNEL.into(),
        payload: "x".into(),
    };
    match wire {
        Wire::Http => {
            let path = format!("/v1/channels/{CHANNEL}");
            let answer = request_over(socket, "POST", &path, &headers, "x".into()).await;
            let answer = answer.unwrap();
            let later = answer.headers().contains_key("retry-after");
            match (answer.status().as_u16(), later) {
                (204, false) => true,
                (429, true) => false,
                other => panic!("{other:?}"),
            }
        }
        Wire::WebSocket => {
            let opened =
                WebSocket::over_with_headers(socket, "localhost", "/v1/ws", &headers).await;
            let (mut socket, _) = opened.unwrap();
            let frame = json!({"type": "publish", "channel": CHANNEL, "payload": "x", "ref": "7"});
            socket.say(&frame.to_string()).await;
            let Said::Answer(answer) = socket.said().await else {
                panic!("no answer")
            };
            assert_eq!(answer["ref"], "7");
            let is_published = answer["type"] == "published";
            assert!(is_published || answer["code"] == "too_many", "{answer}");
            // The stream goes on.
            socket
                .say(r#"{"type":"unsubscribe","channels":["a"]}"#)
                .await;
            assert!(matches!(socket.said().await, Said::Answer(_)));
            is_published
        }
        Wire::Grpc => {
            let mut request = Request::new(message);
            for (name, value) in headers {
                request.metadata_mut().insert(name, value.parse().unwrap());
            }
            match grpc_over(socket).await.unwrap().publish(request).await {
                Ok(_) => true,
                Err(status) => {
                    assert_eq!(status.code(), tonic::Code::ResourceExhausted, "{status}");
                    false
                }
            }
        }
        Wire::GrpcWeb => grpc_web(socket, &headers, &message).await,
    }
}

async fn grpc_web(
    socket: tokio::net::TcpStream,
    headers: &[(&str, &str)],
    message: &PublishRequest,
) -> bool {
    let message = message.encode_to_vec();
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    let body: Bytes = [&[0], &length[..], &message].concat().into();
    let content = [("content-type", "application/grpc-web+proto")];
    let headers = [&content, headers].concat();
    let path = "/pgfan.v1.GatewayService/Publish";
    let answer = request_over(socket, "POST", path, &headers, body)
        .await
        .unwrap();
    let in_head = answer.headers().get("grpc-status").cloned();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    match in_head {
        Some(status) => {
            assert_eq!(status, "8");
            false
        }
        None => {
            let text = String::from_utf8_lossy(&body);
            assert!(text.contains("grpc-status:0"), "{text}");
            true
        }
    }
}

/// Publishes concurrently: as many succeed as the bucket holds, and as it was
/// refilled since.
async fn flood(wire: Wire, from: &[IpAddr], to: SocketAddr, tokens: &[String]) {
    let begun = Instant::now();
    let publishing = (0..8 * RATE).map(|n| {
        let token = (!tokens.is_empty()).then(|| tokens[n % tokens.len()].as_str());
        publish(wire, from[n % from.len()], to, token)
    });
    let published = futures_util::future::join_all(publishing).await;
    let published = published.into_iter().filter(|published| *published).count();
    let most = RATE + 1 + (begun.elapsed().as_secs_f64() * RATE as f64) as usize;
    assert!(
        (RATE..=most).contains(&published),
        "{wire:?}: {published} of {most}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a11_who_publishes_too_much_is_told_so_on_every_wire() {
    let mut besieged = Besieged::with(&["--max-publish-rate", "5"]).await;
    let address = besieged.address();
    for (n, wire) in (2..).zip(WIRES) {
        flood(wire, &[loopback(n)], address, &[]).await;
        assert!(publish(wire, loopback(n + 10), address, None).await);
        besieged.others_are_served().await;
        until("it may publish again", || {
            publish(wire, loopback(n), address, None)
        })
        .await;
    }
    besieged.gateway.stop().await;
}

/// From any address, and with any token of the same subject.
#[tokio::test(flavor = "multi_thread")]
async fn a11_who_has_a_token_is_known_by_it() {
    let flags = [
        "--max-publish-rate",
        "5",
        "--anonymous",
        "--token-secret",
        SECRET,
    ];
    let mut besieged = Besieged::with(&flags).await;
    let address = besieged.address();
    let token = |subject: &str, number: i64| {
        let channels = json!({"publish": [CHANNEL]});
        with_claims(&json!({"sub": subject, "exp": now() + 3600 + number, "pgfan": channels}))
    };
    for wire in WIRES {
        let name = format!("ann {wire:?}");
        let tokens = [token(&name, 0), token(&name, 1), token(&name, 2)];
        flood(wire, &[loopback(2), loopback(3)], address, &tokens).await;
        let bob = token(&format!("bob {wire:?}"), 0);
        assert!(publish(wire, loopback(2), address, Some(&bob)).await);
        besieged.others_are_served().await;
    }
    besieged.gateway.stop().await;
}
