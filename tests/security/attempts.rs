//! Reading and publishing on each transport, with or without a token.

use std::net::SocketAddr;

use pgfan::proto::{
    PublishRequest, SubscribeRequest, SubscribeResponse, subscribe_response::Message,
};
use prost::Message as _;
use serde_json::{Value, json};
use tokio::time::{Duration, interval};

use crate::grpc_web::Web;
use crate::support::{Database, EventStream, WebSocket, grpc_client, post_with, within};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wire {
    WebSocket,
    RawWebSocket,
    Sse,
    RawSse,
    Grpc,
    GrpcWeb,
    PgCacheWatch,
    /// Publishes only.
    Http,
}

impl Wire {
    pub const READING: [Self; 7] = [
        Self::WebSocket,
        Self::RawWebSocket,
        Self::Sse,
        Self::RawSse,
        Self::Grpc,
        Self::GrpcWeb,
        Self::PgCacheWatch,
    ];
    /// Transports that take a cursor.
    pub const RESUMING: [Self; 6] = [
        Self::WebSocket,
        Self::RawWebSocket,
        Self::Sse,
        Self::RawSse,
        Self::Grpc,
        Self::GrpcWeb,
    ];
    pub const PUBLISHING: [Self; 4] = [Self::WebSocket, Self::Grpc, Self::GrpcWeb, Self::Http];
}

/// Result of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Messages after `ready`, up to the awaited event.
    Read(Vec<String>),
    /// Published and committed.
    Published,
    /// HTTP or gRPC status, or close code.
    Refused(i32),
    /// An error on a stream that goes on.
    Error(String),
}

pub fn bearer(token: Option<&str>) -> Vec<(&'static str, String)> {
    let value = token.map(|token| ("authorization", format!("Bearer {token}")));
    value.into_iter().collect()
}

fn borrowed<'a>(headers: &'a [(&'static str, String)]) -> Vec<(&'static str, &'a str)> {
    headers
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect()
}

/// Reads `channel` until `last` is received on it.
pub async fn read(
    wire: Wire,
    address: SocketAddr,
    token: Option<&str>,
    channel: &str,
    cursor: Option<&str>,
    last: &str,
) -> Outcome {
    let reading = async {
        let headers = bearer(token);
        let headers = borrowed(&headers);
        let cursor_of_url = cursor
            .map(|cursor| format!("&cursor={cursor}"))
            .unwrap_or_default();
        let query = format!("channel={channel}{cursor_of_url}");
        match wire {
            Wire::WebSocket => ws(address, &format!("/v1/ws?{query}"), &headers, last).await,
            Wire::RawWebSocket => {
                raw(
                    address,
                    &format!("/v1/ws?{query}&format=raw"),
                    &headers,
                    last,
                )
                .await
            }
            Wire::PgCacheWatch => {
                raw(address, &format!("/pgpubsub/{channel}"), &headers, last).await
            }
            Wire::Sse => sse(address, &format!("/v1/sse?{query}"), &headers, last).await,
            Wire::RawSse => {
                sse(
                    address,
                    &format!("/v1/sse?{query}&format=raw"),
                    &headers,
                    last,
                )
                .await
            }
            Wire::Grpc => grpc(address, token, channel, cursor, last).await,
            Wire::GrpcWeb => grpc_web(address, &headers, channel, cursor, last).await,
            Wire::Http => panic!("nothing is read there"),
        }
    };
    within(&format!("an end of {wire:?}"), reading).await
}

/// Notifies repeatedly, until a reader has received it and the caller drops
/// this.
pub async fn repeat(database: &Database, channel: &str, payload: &str) {
    let mut ticks = interval(Duration::from_millis(20));
    loop {
        ticks.tick().await;
        database.notify(channel, payload).await;
    }
}

/// The first message of a client without a token.
const NOT_A_TOKEN: &str = r#"{"type":"subscribe","channels":["a"]}"#;

async fn ws(address: SocketAddr, path: &str, headers: &[(&str, &str)], last: &str) -> Outcome {
    let mut socket = match WebSocket::with_headers(address, path, headers).await {
        Ok((socket, _)) => socket,
        Err(status) => return Outcome::Refused(status.into()),
    };
    if headers.is_empty() {
        socket.say(NOT_A_TOKEN).await;
    }
    let mut heard = Vec::new();
    loop {
        let text = match socket.text().await {
            Ok(text) => text,
            Err((code, _)) => return Outcome::Refused(code.into()),
        };
        let object: Value = serde_json::from_str(&text).unwrap();
        match object["type"].as_str().unwrap() {
            "event" if object["payload"] == last => return Outcome::Read(heard),
            "event" => heard.push(object["payload"].as_str().unwrap().to_owned()),
            "error" => return Outcome::Error(object["code"].as_str().unwrap().to_owned()),
            "ready" => {}
            other => heard.push(other.to_owned()),
        }
    }
}

async fn raw(address: SocketAddr, path: &str, headers: &[(&str, &str)], last: &str) -> Outcome {
    let mut socket = match WebSocket::with_headers(address, path, headers).await {
        Ok((socket, _)) => socket,
        Err(status) => return Outcome::Refused(status.into()),
    };
    let mut heard = Vec::new();
    loop {
        match socket.text().await {
            Ok(payload) if payload == last => return Outcome::Read(heard),
            Ok(payload) => heard.push(payload),
            Err((code, _)) => return Outcome::Refused(code.into()),
        }
    }
}

async fn sse(address: SocketAddr, path: &str, headers: &[(&str, &str)], last: &str) -> Outcome {
    let mut stream = match EventStream::try_open(address, path, headers).await {
        Ok(stream) => stream,
        Err(status) => return Outcome::Refused(status.into()),
    };
    let mut heard = Vec::new();
    loop {
        let message = stream.next().await.expect("the stream goes on");
        let object: Value = serde_json::from_str(&message.data).unwrap_or_default();
        let payload = object["payload"].as_str().unwrap_or(&message.data);
        match payload {
            payload if payload == last => return Outcome::Read(heard),
            _ if message.name == "ready" || object["type"] == "ready" => {}
            payload => heard.push(payload.to_owned()),
        }
    }
}

async fn grpc(
    address: SocketAddr,
    token: Option<&str>,
    channel: &str,
    cursor: Option<&str>,
    last: &str,
) -> Outcome {
    let mut client = grpc_client(address).await;
    let subscribe = with_token(
        token,
        SubscribeRequest {
            channels: vec![channel.into()],
            cursor: cursor.unwrap_or_default().into(),
            heartbeat: false,
        },
    );
    let mut stream = match client.subscribe(subscribe).await {
        Ok(stream) => stream.into_inner(),
        Err(status) => return Outcome::Refused(status.code() as i32),
    };
    let mut heard = Vec::new();
    loop {
        match stream.message().await {
            Ok(Some(SubscribeResponse { message })) => match message.unwrap() {
                Message::Ready(_) => {}
                Message::Event(event) if event.payload == last => return Outcome::Read(heard),
                Message::Event(event) => heard.push(event.payload),
                other => heard.push(format!("{other:?}")),
            },
            Ok(None) => panic!("it ends without a status"),
            Err(status) => return Outcome::Refused(status.code() as i32),
        }
    }
}

pub fn with_token<T>(token: Option<&str>, message: T) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    if let Some(token) = token {
        let value = format!("Bearer {token}").parse().unwrap();
        request.metadata_mut().insert("authorization", value);
    }
    request
}

async fn grpc_web(
    address: SocketAddr,
    headers: &[(&str, &str)],
    channel: &str,
    cursor: Option<&str>,
    last: &str,
) -> Outcome {
    let subscribe = SubscribeRequest {
        channels: vec![channel.into()],
        cursor: cursor.unwrap_or_default().into(),
        heartbeat: false,
    };
    let mut web = Web::call(address, "Subscribe", headers, &subscribe).await;
    let mut heard = Vec::new();
    loop {
        let bytes = match web.next().await {
            Ok(bytes) => bytes,
            Err(status) => return Outcome::Refused(status),
        };
        match SubscribeResponse::decode(&bytes[..])
            .unwrap()
            .message
            .unwrap()
        {
            Message::Ready(_) => {}
            Message::Event(event) if event.payload == last => return Outcome::Read(heard),
            Message::Event(event) => heard.push(event.payload),
            other => heard.push(format!("{other:?}")),
        }
    }
}

pub async fn publish(
    wire: Wire,
    address: SocketAddr,
    token: Option<&str>,
    channel: &str,
    payload: &str,
) -> Outcome {
    let headers = bearer(token);
    let headers = borrowed(&headers);
    let message = PublishRequest {
        channel: channel.into(),
        payload: payload.into(),
    };
    let publishing = async {
        match wire {
            Wire::Http => {
                let path = format!("/v1/channels/{channel}");
                let answer = post_with(address, &path, &headers, payload.to_owned()).await;
                match answer.status {
                    204 => Outcome::Published,
                    status => Outcome::Refused(status.into()),
                }
            }
            Wire::Grpc => {
                let mut client = grpc_client(address).await;
                match client.publish(with_token(token, message)).await {
                    Ok(_) => Outcome::Published,
                    Err(status) => Outcome::Refused(status.code() as i32),
                }
            }
            Wire::GrpcWeb => {
                let mut web = Web::call(address, "Publish", &headers, &message).await;
                match web.next().await {
                    Ok(_) => Outcome::Published,
                    Err(status) => Outcome::Refused(status),
                }
            }
            Wire::WebSocket => ws_publish(address, &headers, channel, payload).await,
            _ => panic!("nothing is published there"),
        }
    };
    within(&format!("an answer of {wire:?}"), publishing).await
}

async fn ws_publish(
    address: SocketAddr,
    headers: &[(&str, &str)],
    channel: &str,
    payload: &str,
) -> Outcome {
    let mut socket = match WebSocket::with_headers(address, "/v1/ws", headers).await {
        Ok((socket, _)) => socket,
        Err(status) => return Outcome::Refused(status.into()),
    };
    let publish = json!({"type": "publish", "channel": channel, "payload": payload, "ref": "1"});
    socket.say(&publish.to_string()).await;
    match socket.text().await {
        Err((code, _)) => Outcome::Refused(code.into()),
        Ok(text) => {
            let object: Value = serde_json::from_str(&text).unwrap();
            match object["type"].as_str().unwrap() {
                "published" => Outcome::Published,
                _ => Outcome::Error(object["code"].as_str().unwrap().to_owned()),
            }
        }
    }
}
