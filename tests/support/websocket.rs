//! A WebSocket client on tokio-tungstenite.

use std::net::SocketAddr;

use futures_util::{SinkExt, StreamExt};
use http::{HeaderMap, HeaderName};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Error, Message, client::IntoClientRequest},
};

use super::{Connection, Said};

pub struct WebSocket {
    stream: WebSocketStream<Box<dyn Connection>>,
}

impl WebSocket {
    /// Returns once the 101 is received; otherwise the status.
    pub async fn open(address: SocketAddr, path: &str) -> Result<Self, u16> {
        Self::over(TcpStream::connect(address).await.unwrap(), path).await
    }

    /// Opens a WebSocket on an existing connection; the status is 0 if the
    /// connection ends before there is one.
    pub async fn over(socket: impl Connection, path: &str) -> Result<Self, u16> {
        let socket: Box<dyn Connection> = Box::new(socket);
        match client_async(format!("ws://localhost{path}"), socket).await {
            Ok((stream, _)) => Ok(Self { stream }),
            Err(Error::Http(response)) => Err(response.status().as_u16()),
            Err(_) => Err(0),
        }
    }

    /// Opens it with these headers in the request; returns also those of the
    /// response.
    pub async fn with_headers(
        address: SocketAddr,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Result<(Self, HeaderMap), u16> {
        let socket = TcpStream::connect(address).await.unwrap();
        Self::over_with_headers(socket, &address.to_string(), path, headers).await
    }

    /// Both: on an existing connection, with these headers.
    pub async fn over_with_headers(
        socket: impl Connection,
        host: &str,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Result<(Self, HeaderMap), u16> {
        let request = format!("ws://{host}{path}").into_client_request();
        let mut request = request.unwrap();
        for (name, value) in headers {
            let name: HeaderName = name.parse().unwrap();
            request.headers_mut().append(name, value.parse().unwrap());
        }
        let socket: Box<dyn Connection> = Box::new(socket);
        match client_async(request, socket).await {
            Ok((stream, answer)) => Ok((Self { stream }, answer.headers().clone())),
            Err(Error::Http(response)) => Err(response.status().as_u16()),
            Err(other) => panic!("{other}"),
        }
    }

    pub async fn say(&mut self, text: &str) {
        self.send(Message::Text(text.into())).await;
    }

    /// Returns whether the connection accepted it.
    pub async fn try_say(&mut self, text: &str) -> bool {
        self.stream.send(Message::Text(text.into())).await.is_ok()
    }

    /// The same for any message.
    pub async fn try_send(&mut self, message: Message) -> bool {
        self.stream.send(message).await.is_ok()
    }

    pub async fn send(&mut self, message: Message) {
        self.stream.send(message).await.unwrap();
    }

    /// The next frame, pings and pongs too; after the close frame `None`.
    pub async fn frame(&mut self) -> Option<Message> {
        self.stream.next().await.transpose().unwrap_or_default()
    }

    /// The next text message, or the end.
    pub async fn text(&mut self) -> Result<String, (u16, String)> {
        loop {
            match self.frame().await {
                Some(Message::Text(text)) => return Ok(text.to_string()),
                Some(Message::Ping(_) | Message::Pong(_)) => {}
                Some(Message::Close(Some(frame))) => {
                    return Err((frame.code.into(), frame.reason.to_string()));
                }
                other => return Err((1006, format!("{other:?}"))),
            }
        }
    }

    /// The next message in the JSON protocol.
    pub async fn said(&mut self) -> Said {
        match super::within("the gateway says something", self.text()).await {
            Ok(text) => Said::from_json(&text),
            Err((code, reason)) => closed(code, &reason),
        }
    }
}

/// The reason begins with the contract's code.
pub fn closed(code: u16, reason: &str) -> Said {
    let word = reason.split(':').next().unwrap_or_default();
    Said::Closed(code.into(), word.to_owned())
}
