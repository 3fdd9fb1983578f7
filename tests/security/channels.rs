//! Channels that a client may not use, whatever its token grants.

use crate::{
    attempts::{Outcome, Wire, publish, read},
    support::{Database, Said, TestGateway, WebSocket},
    tokens::{WITH_TOKENS, token},
};

fn forbidden(wire: Wire) -> Outcome {
    Outcome::Refused(match wire {
        Wire::Grpc | Wire::GrpcWeb => tonic::Code::PermissionDenied as i32,
        _ => 403,
    })
}

async fn is_nobodys(gateway: &TestGateway, token: Option<&str>, channel: &str) {
    let address = gateway.address;
    for wire in Wire::READING {
        let outcome = read(wire, address, token, channel, None, "last").await;
        assert_eq!(outcome, forbidden(wire), "{wire:?} {channel}");
    }
    for wire in Wire::RESUMING {
        let outcome = read(wire, address, token, channel, Some("1-1"), "last").await;
        assert_eq!(outcome, forbidden(wire), "{wire:?} {channel}");
    }
    for wire in Wire::PUBLISHING {
        let outcome = publish(wire, address, token, channel, "x").await;
        match wire {
            Wire::WebSocket => assert_eq!(outcome, Outcome::Error("forbidden".into())),
            _ => assert_eq!(outcome, forbidden(wire), "{wire:?} {channel}"),
        }
    }
}

/// A client that could read or send the heartbeat could make the gateway
/// believe that its dead session is alive.
#[tokio::test(flavor = "multi_thread")]
async fn attack_5_the_gateways_own_channels() {
    let database = Database::new().await;
    let all = token(&["**", "*", "pgfan:heartbeat"]);
    let closed = TestGateway::with(&database, &[WITH_TOKENS]).await;
    let reserved = [
        ("channels", "**"),
        ("anonymous", "on"),
        ("allow-publish", "on"),
    ];
    let open = TestGateway::with(&database, &reserved).await;
    for channel in ["pgfan:heartbeat", "pgfan:", "pgfan:x.y"] {
        is_nobodys(&closed, Some(&all), channel).await;
        is_nobodys(&open, Some(&all), channel).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_gateways_list_stands_above_every_token() {
    let database = Database::new().await;
    let settings = [WITH_TOKENS, ("channels", "orders.*,stock")];
    let gateway = TestGateway::with(&database, &settings).await;
    let all = token(&["**"]);
    for channel in ["other", "orders", "orders.a.b"] {
        is_nobodys(&gateway, Some(&all), channel).await;
    }
    for channel in ["orders.a", "stock"] {
        let published = publish(Wire::Http, gateway.address, Some(&all), channel, "x").await;
        assert_eq!(published, Outcome::Published, "{channel}");
    }
}

/// A refused channel refuses the whole request.
#[tokio::test(flavor = "multi_thread")]
async fn of_several_channels_all_or_none() {
    let database = Database::new().await;
    let gateway = TestGateway::with(&database, &[WITH_TOKENS]).await;
    let bearer = format!("Bearer {}", token(&["a", "b"]));
    let headers = [("authorization", bearer.as_str())];
    let address = gateway.address;
    let path = "/v1/ws?channel=a&channel=secret";
    assert_eq!(
        WebSocket::with_headers(address, path, &headers).await.err(),
        Some(403)
    );
    let path = "/v1/ws?channel=a";
    let (mut socket, _) = WebSocket::with_headers(address, path, &headers)
        .await
        .unwrap();
    socket.said().await;
    socket
        .say(r#"{"type":"subscribe","channels":["b","secret"]}"#)
        .await;
    let Said::Answer(error) = socket.said().await else {
        panic!("not refused")
    };
    assert_eq!(error["code"], "forbidden");
    assert_eq!(error["message"], r#"the channel "secret" cannot be read"#);
    for channel in ["secret", "b", "a"] {
        database.notify(channel, channel).await;
    }
    let Said::Event { payload, .. } = socket.said().await else {
        panic!("not an event")
    };
    assert_eq!(payload, "a");
    socket.say(r#"{"type":"subscribe","channels":["b"]}"#).await;
    assert!(matches!(socket.said().await, Said::Ready { .. }));
}
