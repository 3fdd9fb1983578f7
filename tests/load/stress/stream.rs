//! A client's stream, on any transport.

use http_body_util::BodyExt;
use hyper::{
    Response,
    body::{Bytes, Incoming},
};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use pgfan::proto::SubscribeResponse;
use prost::Message as _;
use tokio_tungstenite::tungstenite::Message;

use crate::support::{
    Connection, EventStream, Reader, Said, WebSocket, Wire as Plain, closed, from_proto,
    request_h2_over, request_over, subscribe_request,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wire {
    WebSocket,
    Sse,
    SseHttp2,
    Grpc,
    GrpcWeb,
    GrpcWebHttp2,
    Raw,
    PgCacheWatch,
}

impl Wire {
    pub const ALL: [Self; 8] = [
        Self::WebSocket,
        Self::Sse,
        Self::SseHttp2,
        Self::Grpc,
        Self::GrpcWeb,
        Self::GrpcWebHttp2,
        Self::Raw,
        Self::PgCacheWatch,
    ];

    /// It carries events only.
    pub fn is_raw(self) -> bool {
        matches!(self, Self::Raw | Self::PgCacheWatch)
    }

    /// The name in TLS (ALPN).
    pub fn protocol(self) -> &'static str {
        match self {
            Self::SseHttp2 | Self::Grpc | Self::GrpcWebHttp2 => "h2",
            _ => "http/1.1",
        }
    }
}

#[derive(Debug)]
pub enum Received {
    Said(Said),
    /// The cursor in a ping frame.
    Ping(String),
}

/// Cancel safe: a wait that is dropped loses nothing.
pub enum Stream {
    Json(WebSocket),
    Raw {
        socket: WebSocket,
        /// Made from the 101, until it is taken.
        ready: Option<Said>,
    },
    Sse(EventStream),
    Grpc(Reader),
    GrpcWeb {
        body: Incoming,
        unread: Vec<u8>,
    },
}

impl Stream {
    /// Opens a stream; the error is the status of the refusal, or 0 for none.
    pub async fn open(
        wire: Wire,
        socket: impl Connection,
        channels: &[&str],
        cursor: Option<&str>,
    ) -> Result<Self, u16> {
        let query = query(channels, cursor);
        let sse = format!("/v1/sse?{query}");
        Ok(match wire {
            Wire::WebSocket => {
                Self::Json(WebSocket::over(socket, &format!("/v1/ws?{query}")).await?)
            }
            Wire::Raw => {
                let path = format!("/v1/ws?format=raw&{query}");
                Self::raw(socket, &path, channels).await?
            }
            Wire::PgCacheWatch => {
                let path = format!("/pgpubsub/{}", encode(channels[0]));
                Self::raw(socket, &path, channels).await?
            }
            Wire::Sse => Self::Sse(EventStream::over(socket, &sse, &[]).await?),
            Wire::SseHttp2 => {
                let answered = request_h2_over(socket, "GET", &sse, &[], Bytes::new());
                Self::Sse(EventStream::of(answered.await)?)
            }
            Wire::Grpc => Self::Grpc(Reader::over(socket, Plain::Grpc, channels, cursor).await),
            Wire::GrpcWeb | Wire::GrpcWebHttp2 => {
                let body = grpc_web(wire, socket, channels, cursor).await?.into_body();
                let unread = Vec::new();
                Self::GrpcWeb { body, unread }
            }
        })
    }

    async fn raw(socket: impl Connection, path: &str, channels: &[&str]) -> Result<Self, u16> {
        let socket = WebSocket::over(socket, path).await?;
        let ready = Said::Ready {
            channels: channels.iter().map(|name| name.to_string()).collect(),
            cursor: String::new(),
        };
        let ready = Some(ready);
        Ok(Self::Raw { socket, ready })
    }

    /// The end is `Closed`.
    pub async fn next(&mut self) -> Received {
        Received::Said(match self {
            Self::Json(socket) => return frame(socket, Said::from_json).await,
            Self::Raw { socket, ready } => match ready.take() {
                Some(ready) => ready,
                None => return frame(socket, raw_event).await,
            },
            Self::Sse(stream) => match stream.next().await {
                Some(message) => ended(Said::from_json(&message.data)),
                None => Said::Closed(0, String::new()),
            },
            Self::Grpc(reader) => match reader.next().await {
                Some(said) => said,
                None => Said::Closed(0, String::new()),
            },
            Self::GrpcWeb { body, unread } => grpc_web_message(body, unread).await,
        })
    }

    /// Sends a frame; `false` if the connection is broken or the transport has
    /// none.
    pub async fn say(&mut self, frame: &str) -> bool {
        match self {
            Self::Json(socket) => socket.try_say(frame).await,
            _ => false,
        }
    }
}

fn encode(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

fn query(channels: &[&str], cursor: Option<&str>) -> String {
    let channels = channels
        .iter()
        .map(|name| format!("channel={}", encode(name)));
    let cursor = cursor.map(|cursor| format!("cursor={}", encode(cursor)));
    channels.chain(cursor).collect::<Vec<_>>().join("&")
}

/// The payload names its note, and so its channel.
fn raw_event(payload: &str) -> Said {
    Said::Event {
        id: String::new(),
        channel: String::new(),
        payload: payload.to_owned(),
    }
}

async fn frame(socket: &mut WebSocket, said: impl Fn(&str) -> Said) -> Received {
    loop {
        return Received::Said(match socket.frame().await {
            Some(Message::Text(text)) => said(&text),
            Some(Message::Ping(cursor)) => {
                return Received::Ping(String::from_utf8_lossy(&cursor).into_owned());
            }
            Some(Message::Pong(_)) => continue,
            Some(Message::Close(Some(frame))) => closed(frame.code.into(), &frame.reason),
            _ => Said::Closed(1006, String::new()),
        });
    }
}

/// The last object of an SSE stream that the gateway ends.
fn ended(said: Said) -> Said {
    match said {
        Said::Answer(object) => Said::Closed(200, object["code"].to_string()),
        other => other,
    }
}

async fn grpc_web(
    wire: Wire,
    socket: impl Connection,
    channels: &[&str],
    cursor: Option<&str>,
) -> Result<Response<Incoming>, u16> {
    let call = subscribe_request(channels, cursor).encode_to_vec();
    let length = u32::try_from(call.len()).unwrap().to_be_bytes();
    let body = [&[0], &length[..], &call].concat().into();
    let path = "/pgfan.v1.GatewayService/Subscribe";
    let headers = [("content-type", "application/grpc-web+proto")];
    let answered = match wire {
        Wire::GrpcWeb => request_over(socket, "POST", path, &headers, body).await,
        _ => request_h2_over(socket, "POST", path, &headers, body).await,
    };
    answered.ok_or(0)
}

/// A flag, a length and a message; the last one has the trailers.
async fn grpc_web_message(body: &mut Incoming, unread: &mut Vec<u8>) -> Said {
    loop {
        if let Some((head, rest)) = unread.split_first_chunk::<5>() {
            let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
            if rest.len() >= length {
                let said = match head[0] {
                    0 => from_proto(SubscribeResponse::decode(&rest[..length]).unwrap()),
                    _ => Said::Closed(0, String::from_utf8_lossy(&rest[..length]).into_owned()),
                };
                unread.drain(..5 + length);
                return said;
            }
        }
        let frame = body.frame().await.and_then(Result::ok);
        match frame.and_then(|frame| frame.into_data().ok()) {
            Some(bytes) => unread.extend_from_slice(&bytes),
            None => return Said::Closed(0, String::new()),
        }
    }
}
