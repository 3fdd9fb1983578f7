use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use pgfan::proto::{PublishRequest, SubscribeRequest};
use prost::Message as _;
use serde_json::json;

use crate::{
    besieged::Besieged,
    frames::message,
    support::{Reader, Said, WebSocket, Wire, get, grpc_client, post, request},
};

const HOSTILE: [&str; 13] = [
    "x\"; DROP TABLE t; --",
    "\"; SELECT pg_sleep(60); --",
    "x'); DROP TABLE t; --",
    "a\"\"b",
    "\"",
    "\"\"",
    "\\\"",
    "$$; DROP TABLE t; $$",
    "%00",
    "%22",
    "a\r\nb: c\n\n",
    "{}[],:\u{1b}[31m\u{202e}",
    "é→😀 63 bytes 63 bytes 63 bytes 63 bytes 63 bytes 63 bytes",
];

fn escape(name: &str) -> String {
    utf8_percent_encode(name, NON_ALPHANUMERIC).to_string()
}

/// Publishes to the name by every interface that takes one.
async fn publish(besieged: &Besieged, name: &str) -> Vec<&'static str> {
    let address = besieged.address();
    let path = format!("/v1/channels/{}", escape(name));
    assert_eq!(post(address, &path, "http").await.status, 204, "{name:?}");

    let mut socket = WebSocket::open(address, "/v1/ws").await.unwrap();
    let say = json!({"type": "publish", "channel": name, "payload": "ws"});
    socket.say(&say.to_string()).await;
    let answer = Said::Answer(json!({"type": "published", "ref": null}));
    assert_eq!(socket.said().await, answer, "{name:?}");

    let say = |payload: &str| PublishRequest {
        channel: name.to_owned(),
        payload: payload.to_owned(),
    };
    let mut client = grpc_client(address).await;
    client.publish(say("grpc")).await.unwrap();

    let body = message(false, &say("grpc-web").encode_to_vec());
    let path = "/pgfan.v1.GatewayService/Publish";
    let headers = [("content-type", "application/grpc-web+proto")];
    let answer = request(address, "POST", path, &headers, body.into()).await;
    assert_eq!(answer.status(), 200);
    vec!["http", "ws", "grpc", "grpc-web"]
}

#[tokio::test(flavor = "multi_thread")]
async fn a04_a_name_is_a_name_on_every_wire_and_never_sql() {
    let mut besieged = Besieged::new().await;
    besieged.database.run("CREATE TABLE t ()").await;
    assert_eq!(HOSTILE[12].len(), 63);
    for name in HOSTILE {
        let address = besieged.address();
        let mut readers = Vec::new();
        for wire in Wire::ALL {
            let mut reader = Reader::open(wire, address, &[name], None).await;
            let ready = reader.said().await;
            assert!(matches!(&ready, Said::Ready { channels, .. } if channels == &[name]));
            readers.push(reader);
        }
        let mut socket = WebSocket::open(address, "/v1/ws").await.unwrap();
        let say = json!({"type": "subscribe", "channels": [name]});
        socket.say(&say.to_string()).await;
        let ready = socket.said().await;
        assert!(matches!(&ready, Said::Ready { channels, .. } if channels == &[name]));
        let path = format!("/v1/ws?channel={}&format=raw", escape(name));
        let mut raw = WebSocket::open(address, &path).await.unwrap();

        for payload in publish(&besieged, name).await {
            for reader in &mut readers {
                let said = reader.said().await;
                assert!(
                    matches!(&said, Said::Event { channel, payload: p, .. }
                        if channel == name && p == payload),
                    "{name:?}: {said:?}"
                );
            }
            let said = socket.said().await;
            assert!(matches!(&said, Said::Event { channel, .. } if channel == name));
            assert_eq!(raw.text().await.unwrap(), payload);
        }
    }
    besieged.database.run("SELECT FROM t").await;
    besieged.others_are_served().await;
    besieged.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a04_what_is_no_name_is_refused_at_every_door() {
    let mut besieged = Besieged::new().await;
    let address = besieged.address();
    let long = "x".repeat(64);
    for name in ["", "\0", "a\0b", &long] {
        let escaped = escape(name);
        for path in [
            "/v1/sse?channel=",
            "/v1/sse?format=raw&channel=",
            "/v1/channels/",
        ] {
            let path = format!("{path}{escaped}");
            let answer = match path.starts_with("/v1/sse") {
                true => get(address, &path, &[]).await,
                // The path requires a name.
                false if name.is_empty() => continue,
                false => post(address, &path, "x").await,
            };
            let code = "invalid_request".to_owned();
            assert_eq!((answer.status, answer.code()), (400, code), "{path}");
        }
        for path in [
            "/v1/ws?channel=",
            "/v1/ws?format=raw&channel=",
            "/pgpubsub/",
        ] {
            if path == "/pgpubsub/" && name.is_empty() {
                continue;
            }
            let path = format!("{path}{escaped}");
            let opened = WebSocket::open(address, &path).await;
            assert_eq!(opened.err(), Some(400), "{path}");
        }
        let mut socket = WebSocket::open(address, "/v1/ws").await.unwrap();
        for say in [
            json!({"type": "subscribe", "channels": [name]}),
            json!({"type": "unsubscribe", "channels": [name]}),
            json!({"type": "publish", "channel": name, "payload": ""}),
        ] {
            socket.say(&say.to_string()).await;
            let Said::Answer(error) = socket.said().await else {
                panic!("{say}");
            };
            assert_eq!(error["code"], "invalid_request", "{say}");
        }
        let mut client = grpc_client(address).await;
        let subscribe = SubscribeRequest {
            channels: vec![name.to_owned()],
            cursor: String::new(),
            heartbeat: false,
        };
        let status = client.subscribe(subscribe).await.unwrap_err();
        assert_eq!(status.code(), tonic::Code::InvalidArgument);
        let publish = PublishRequest {
            channel: name.to_owned(),
            payload: String::new(),
        };
        let status = client.publish(publish).await.unwrap_err();
        assert_eq!(status.code(), tonic::Code::InvalidArgument);
    }
    besieged.others_are_served().await;
}
