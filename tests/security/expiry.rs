//! Attack 13: streams that outlive their token.

use std::{
    net::SocketAddr,
    time::{Duration, SystemTime},
};

use pgfan::proto::SubscribeRequest;
use serde_json::Value;

use crate::{
    attempts::{Wire, with_token},
    grpc_web::Web,
    support::{
        Database, EventStream, Said, TestGateway, WebSocket, get_h2_with, grpc_client, within,
    },
    tokens::{WITH_TOKENS, lasting, now, token},
};

/// Close code or status, and the message at the end of the stream.
pub(crate) async fn end(
    wire: Wire,
    address: SocketAddr,
    token: &str,
    channel: &str,
) -> (i32, String) {
    let bearer = format!("Bearer {token}");
    let headers = [("authorization", bearer.as_str())];
    let query = format!("channel={channel}");
    match wire {
        Wire::WebSocket | Wire::RawWebSocket | Wire::PgCacheWatch => {
            let path = match wire {
                Wire::WebSocket => format!("/v1/ws?{query}"),
                Wire::RawWebSocket => format!("/v1/ws?{query}&format=raw"),
                _ => format!("/pgpubsub/{channel}"),
            };
            let (mut socket, _) = WebSocket::with_headers(address, &path, &headers)
                .await
                .unwrap();
            loop {
                if let Err((code, reason)) = socket.text().await {
                    return (code.into(), reason);
                }
            }
        }
        Wire::Sse | Wire::RawSse => {
            let format = if wire == Wire::Sse { "json" } else { "raw" };
            let path = format!("/v1/sse?{query}&format={format}");
            let mut stream = EventStream::open(address, &path, &headers).await;
            let mut last = None;
            while let Some(message) = stream.next().await {
                last = Some(message);
            }
            let last = last.unwrap();
            assert_eq!(last.name, if wire == Wire::Sse { "message" } else { "end" });
            let object: Value = serde_json::from_str(&last.data).unwrap();
            assert_eq!(object["type"], "error");
            let text = |name: &str| object[name].as_str().unwrap();
            (200, format!("{}: {}", text("code"), text("message")))
        }
        Wire::Grpc => {
            let subscribe = SubscribeRequest {
                channels: vec![channel.into()],
                cursor: String::new(),
                heartbeat: false,
            };
            let mut client = grpc_client(address).await;
            let subscribed = client.subscribe(with_token(Some(token), subscribe)).await;
            let mut stream = subscribed.unwrap().into_inner();
            loop {
                if let Err(status) = stream.message().await {
                    return (
                        status.code() as i32,
                        format!("unauthenticated: {}", status.message()),
                    );
                }
            }
        }
        Wire::GrpcWeb => {
            let subscribe = SubscribeRequest {
                channels: vec![channel.into()],
                cursor: String::new(),
                heartbeat: false,
            };
            let mut web = Web::call(address, "Subscribe", &headers, &subscribe).await;
            loop {
                if let Err(status) = web.next().await {
                    return (status, "unauthenticated: the token has expired".into());
                }
            }
        }
        Wire::Http => unreachable!(),
    }
}

pub(crate) fn expected(wire: Wire) -> i32 {
    match wire {
        Wire::WebSocket | Wire::RawWebSocket | Wire::PgCacheWatch => 4401,
        Wire::Sse | Wire::RawSse => 200,
        Wire::Grpc | Wire::GrpcWeb => tonic::Code::Unauthenticated as i32,
        Wire::Http => unreachable!(),
    }
}

/// Tolerance for a busy machine; shorter than `keepalive`, after which each stream
/// is checked anyway.
const LATE: Duration = Duration::from_secs(6);

/// Each reader ends in the way of its transport, at the second of expiry and not
/// before.
async fn all_end(gateway: &TestGateway, channel: &str) {
    let lifetime = Duration::from_secs(2);
    let (began, token) = (SystemTime::now(), lasting(lifetime, &[channel]));
    let ends = Wire::READING.map(|wire| end(wire, gateway.address, &token, channel));
    let ends = futures_util::future::join_all(ends);
    let ends = within("all streams end", ends).await;
    let lasted = began.elapsed().unwrap();
    assert!(lifetime <= lasted && lasted < lifetime + LATE, "{lasted:?}");
    for (wire, (code, reason)) in Wire::READING.into_iter().zip(ends) {
        assert_eq!(code, expected(wire), "{wire:?}");
        assert_eq!(reason, "unauthenticated: the token has expired", "{wire:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn attack_13_a_token_that_ends_ends_the_stream() {
    let database = Database::new().await;
    let gateway = TestGateway::with(&database, &[WITH_TOKENS]).await;
    all_end(&gateway, "quiet").await;
}

/// A reader that is always busy ends at the same time.
#[tokio::test(flavor = "multi_thread")]
async fn attack_13_a_busy_stream_too() {
    let database = Database::new().await;
    let gateway = TestGateway::with(&database, &[WITH_TOKENS]).await;
    let flood = async {
        loop {
            database.notify_range("busy", 1, 200).await;
        }
    };
    tokio::select! {
        () = all_end(&gateway, "busy") => {}
        () = flood => unreachable!(),
    }
}

/// On HTTP/2 an event stream shares its connection.
#[tokio::test(flavor = "multi_thread")]
async fn attack_13_sse_over_http2_too() {
    let database = Database::new().await;
    let gateway = TestGateway::with(&database, &[WITH_TOKENS]).await;
    let bearer = format!("Bearer {}", lasting(Duration::from_secs(1), &["a"]));
    let headers = [("authorization", bearer.as_str())];
    let getting = get_h2_with(gateway.address, "/v1/sse?channel=a", &headers);
    let answer = within("the stream ends", getting).await;
    assert_eq!(answer.status, 200);
    let text = String::from_utf8(answer.body.to_vec()).unwrap();
    let end = r#"{"type":"error","code":"unauthenticated","message":"the token has expired"}"#;
    assert!(text.ends_with(&format!("data: {end}\n\n")), "{text}");
}

async fn socket(gateway: &TestGateway, path: &str, token: &str) -> WebSocket {
    let bearer = format!("Bearer {token}");
    let headers = [("authorization", bearer.as_str())];
    WebSocket::with_headers(gateway.address, path, &headers)
        .await
        .unwrap()
        .0
}

fn auth(token: &str) -> String {
    format!(r#"{{"type":"auth","token":"{token}"}}"#)
}

async fn answer(socket: &mut WebSocket) -> Value {
    match socket.said().await {
        Said::Answer(object) => object,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_token_that_is_handed_in_before_keeps_the_stream() {
    let database = Database::new().await;
    let gateway = TestGateway::with(&database, &[WITH_TOKENS]).await;
    let first = lasting(Duration::from_secs(2), &["a"]);
    let mut socket = socket(&gateway, "/v1/ws?channel=a", &first).await;
    socket.said().await;
    let until = now() + 3600;
    socket.say(&auth(&token(&["a"]))).await;
    let answer = answer(&mut socket).await;
    assert_eq!(answer["type"], "authenticated");
    let expires_at = answer["expires_at"].as_str().unwrap();
    let expires_at = humantime::parse_rfc3339(expires_at).unwrap();
    let seconds = expires_at
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap()
        .as_secs();
    assert!((until..until + 3).contains(&(seconds as i64)));
    // A stream whose token was not renewed ends meanwhile.
    let (code, _) = end(Wire::PgCacheWatch, gateway.address, &first, "a").await;
    assert_eq!(code, 4401);
    database.notify("a", "still").await;
    assert!(matches!(socket.said().await, Said::Event { payload, .. } if payload == "still"));
}

#[tokio::test(flavor = "multi_thread")]
async fn channels_that_the_other_token_has_not_are_left_and_that_is_said() {
    let database = Database::new().await;
    let gateway = TestGateway::with(&database, &[WITH_TOKENS]).await;
    let path = "/v1/ws?channel=a&channel=b&channel=c";
    let mut socket = socket(&gateway, path, &token(&["*"])).await;
    socket.said().await;
    socket.say(&auth(&token(&["a", "d"]))).await;
    let left = answer(&mut socket).await;
    assert_eq!(left["type"], "unsubscribed");
    assert_eq!(left["channels"], serde_json::json!(["b", "c"]));
    let error = answer(&mut socket).await;
    assert_eq!(error["code"], "forbidden");
    assert_eq!(error["message"], r#"the channels "b", "c" cannot be read"#);
    assert_eq!(answer(&mut socket).await["type"], "authenticated");
    for channel in ["b", "c", "a"] {
        database.notify(channel, channel).await;
    }
    assert!(matches!(socket.said().await, Said::Event { channel, .. } if channel == "a"));
    for (channel, is_let_in) in [("b", false), ("d", true)] {
        socket
            .say(&format!(
                r#"{{"type":"subscribe","channels":["{channel}"]}}"#
            ))
            .await;
        match socket.said().await {
            Said::Ready { .. } => assert!(is_let_in, "{channel}"),
            Said::Answer(error) => assert!(!is_let_in && error["code"] == "forbidden"),
            other => panic!("{other:?}"),
        }
    }
    let publish = r#"{"type":"publish","channel":"c","payload":"x","ref":"1"}"#;
    socket.say(publish).await;
    assert_eq!(answer(&mut socket).await["code"], "forbidden");
}

/// An invalid token changes neither the access nor its end.
#[tokio::test(flavor = "multi_thread")]
async fn a_bad_token_in_between_changes_nothing() {
    let database = Database::new().await;
    let gateway = TestGateway::with(&database, &[WITH_TOKENS]).await;
    let mut socket = socket(
        &gateway,
        "/v1/ws?channel=a",
        &lasting(Duration::from_secs(2), &["a"]),
    )
    .await;
    socket.said().await;
    for bad in [
        crate::tokens::forged(&["*"]),
        crate::tokens::expired(&["a"]),
        "x".into(),
    ] {
        socket.say(&auth(&bad)).await;
        let error = answer(&mut socket).await;
        assert_eq!(
            (&error["type"], &error["code"]),
            (&"error".into(), &"unauthenticated".into())
        );
    }
    database.notify("a", "1").await;
    assert!(matches!(socket.said().await, Said::Event { .. }));
    assert_eq!(
        socket.said().await,
        Said::Closed(4401, "unauthenticated".into())
    );
}
