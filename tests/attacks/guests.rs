use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use pgfan::proto::{SubscribeRequest, SubscribeResponse};
use prost::Message as _;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
};
use tonic::{Request, Streaming, metadata::MetadataKey};

use crate::support::{gateway_process::upgrade, grpc_over, within};

/// Transport and format of a reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    WebSocket,
    RawWebSocket,
    PgCacheWatch,
    Sse,
    RawSse,
    GrpcWeb,
    Grpc,
}

impl Kind {
    pub const ALL: [Self; 7] = [
        Self::WebSocket,
        Self::RawWebSocket,
        Self::PgCacheWatch,
        Self::Sse,
        Self::RawSse,
        Self::GrpcWeb,
        Self::Grpc,
    ];

    /// The request of a reader of the channel, except for gRPC.
    fn request(self, channel: &str) -> Vec<u8> {
        let sse = |query: &str| format!("GET /v1/sse?{query} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let text = match self {
            Self::WebSocket => upgrade(&format!("/v1/ws?channel={channel}")),
            Self::RawWebSocket => upgrade(&format!("/v1/ws?channel={channel}&format=raw")),
            Self::PgCacheWatch => upgrade(&format!("/pgpubsub/{channel}")),
            Self::Sse => sse(&format!("channel={channel}")),
            Self::RawSse => sse(&format!("channel={channel}&format=raw")),
            Self::GrpcWeb | Self::Grpc => return grpc_web(&subscribe(channel)),
        };
        text.into_bytes()
    }
}

fn subscribe(channel: &str) -> SubscribeRequest {
    SubscribeRequest {
        channels: vec![channel.into()],
        cursor: String::new(),
        heartbeat: false,
    }
}

fn grpc_web(message: &SubscribeRequest) -> Vec<u8> {
    let message = message.encode_to_vec();
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    let head = format!(
        "POST /pgfan.v1.GatewayService/Subscribe HTTP/1.1\r\nHost: localhost\r\n\
         Content-Type: application/grpc-web+proto\r\nContent-Length: {}\r\n\r\n",
        5 + message.len()
    );
    [head.as_bytes(), &[0], &length, &message].concat()
}

/// A loopback address, other than the test's own.
pub fn loopback(last: u8) -> IpAddr {
    Ipv4Addr::new(127, 0, 0, last).into()
}

/// Connects from that address.
pub async fn connect(from: IpAddr, to: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((from, 0).into()).unwrap();
    socket.connect(to).await.unwrap()
}

/// A reader that was let in; it leaves when it is dropped.
#[allow(dead_code, reason = "held, and never looked at")]
pub enum Guest {
    Socket(TcpStream),
    Stream(Streaming<SubscribeResponse>),
}

/// Refusal of a reader over the limit, to be retried later.
#[derive(Debug, PartialEq, Eq)]
pub struct TooMany;

type Headers<'a> = &'a [(&'a str, &'a str)];

/// Subscribes to `guests`; the only expected refusal is [`TooMany`].
pub async fn enter(
    kind: Kind,
    from: IpAddr,
    to: SocketAddr,
    headers: Headers<'_>,
) -> Result<Guest, TooMany> {
    enter_on(kind, "guests", from, to, headers).await
}

/// The same on this channel.
pub async fn enter_on(
    kind: Kind,
    channel: &str,
    from: IpAddr,
    to: SocketAddr,
    headers: Headers<'_>,
) -> Result<Guest, TooMany> {
    let socket = connect(from, to).await;
    let entering = async {
        match kind {
            Kind::Grpc => grpc(socket, channel, headers).await,
            _ => http(socket, &kind.request(channel), headers).await,
        }
    };
    within(&format!("an answer on {kind:?}"), entering).await
}

async fn grpc(socket: TcpStream, channel: &str, headers: Headers<'_>) -> Result<Guest, TooMany> {
    let mut request = Request::new(subscribe(channel));
    for (name, value) in headers {
        let name = MetadataKey::from_bytes(name.as_bytes()).unwrap();
        request.metadata_mut().append(name, value.parse().unwrap());
    }
    let client = grpc_over(socket).await;
    match client.unwrap().subscribe(request).await {
        Ok(answer) => Ok(Guest::Stream(answer.into_inner())),
        Err(status) => {
            assert_eq!(status.code(), tonic::Code::ResourceExhausted, "{status}");
            Err(TooMany)
        }
    }
}

async fn http(
    mut socket: TcpStream,
    request: &[u8],
    headers: Headers<'_>,
) -> Result<Guest, TooMany> {
    let first_line = request.windows(2).position(|w| w == b"\r\n").unwrap() + 2;
    let lines: Vec<_> = headers
        .iter()
        .map(|(n, v)| format!("{n}: {v}\r\n"))
        .collect();
    let (first, rest) = request.split_at(first_line);
    let request = [first, lines.concat().as_bytes(), rest].concat();
    socket.write_all(&request).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(socket.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    let (status, headers) = head.split_once("\r\n").unwrap();
    let grpc_status = headers
        .lines()
        .find_map(|l| l.strip_prefix("grpc-status: "));
    match (&status[9..12], grpc_status) {
        ("101" | "200", None) => Ok(Guest::Socket(socket)),
        ("429", None) => {
            assert!(headers.contains("retry-after: "), "{head}");
            Err(TooMany)
        }
        ("200", Some("8")) => Err(TooMany),
        _ => panic!("{head}"),
    }
}
