//! One reader, of any transport.

use std::net::SocketAddr;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use pgfan::proto::gateway_service_client::GatewayServiceClient;
use tokio::{net::TcpStream, sync::mpsc, task::JoinHandle};
use tonic::transport::Channel;

use super::{
    Connection, EventStream, Said, WebSocket,
    grpc::{grpc, grpc_over, subscribe_request},
    websocket::closed,
    within,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wire {
    WebSocket,
    Sse,
    Grpc,
    /// Reports `ready` by its 101, and gives events no id.
    PgCacheWatch,
}

impl Wire {
    /// The transports that can express every message.
    pub const FULL: [Self; 3] = [Self::WebSocket, Self::Sse, Self::Grpc];
    pub const ALL: [Self; 4] = [Self::WebSocket, Self::Sse, Self::Grpc, Self::PgCacheWatch];
}

/// A reader; it leaves when it is dropped.
pub struct Reader {
    ready: Option<String>,
    said: mpsc::Receiver<Said>,
    reading: JoinHandle<()>,
}

impl Reader {
    /// Returns when the request is on its way; for PGCacheWatch when the 101 is
    /// received.
    pub async fn open(
        wire: Wire,
        address: SocketAddr,
        channels: &[&str],
        cursor: Option<&str>,
    ) -> Self {
        let socket = TcpStream::connect(address).await.unwrap();
        Self::over(socket, wire, channels, cursor).await
    }

    /// Opens a reader on an existing connection. If that ends too soon, the
    /// only message is `Closed`.
    pub async fn over(
        socket: impl Connection,
        wire: Wire,
        channels: &[&str],
        cursor: Option<&str>,
    ) -> Self {
        // A reader that is not polled waits, as a slow client would.
        let (sender, said) = mpsc::channel(64);
        let reading = match wire {
            Wire::WebSocket => tokio::spawn(web_socket(socket, query(channels, cursor), sender)),
            Wire::Sse => tokio::spawn(sse(socket, query(channels, cursor), sender)),
            Wire::Grpc => {
                let client = grpc_over(socket).await;
                tokio::spawn(grpc(client, subscribe_request(channels, cursor), sender))
            }
            Wire::PgCacheWatch => {
                let path = format!("/pgpubsub/{}", encode(channels[0]));
                let socket = WebSocket::over(socket, &path).await;
                tokio::spawn(pgcachewatch(socket, channels[0].to_owned(), sender))
            }
        };
        Self {
            ready: None,
            said,
            reading,
        }
    }

    /// One of many streams on the same HTTP/2 connection.
    pub fn on_channel(client: &GatewayServiceClient<Channel>, channel: &str) -> Self {
        let (sender, said) = mpsc::channel(64);
        let request = subscribe_request(&[channel], None);
        let reading = tokio::spawn(grpc(Ok(client.clone()), request, sender));
        Self {
            ready: None,
            said,
            reading,
        }
    }

    pub async fn said(&mut self) -> Said {
        let said = within("the gateway says something", self.next()).await;
        said.expect("nothing is said after the end")
    }

    /// The next message; `None` after the end, and when the connection could
    /// not be made.
    pub async fn next(&mut self) -> Option<Said> {
        self.said.recv().await
    }

    pub async fn ready(&mut self) {
        match self.said().await {
            Said::Ready { cursor, .. } => self.ready = Some(cursor),
            other => panic!("not ready but {other:?}"),
        }
    }

    /// Cursor of the last `ready`.
    pub fn ready_cursor(&self) -> String {
        self.ready.clone().expect("seen ready")
    }

    /// Id and payload of the next event.
    pub async fn event(&mut self) -> (String, String) {
        match self.said().await {
            Said::Event { id, payload, .. } => (id, payload),
            other => panic!("not an event but {other:?}"),
        }
    }

    pub async fn payloads(&mut self, count: usize) -> Vec<String> {
        let mut payloads = Vec::with_capacity(count);
        for _ in 0..count {
            payloads.push(self.event().await.1);
        }
        payloads
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.reading.abort();
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

async fn web_socket(socket: impl Connection, query: String, sender: mpsc::Sender<Said>) {
    let mut socket = match WebSocket::over(socket, &format!("/v1/ws?{query}")).await {
        Ok(socket) => socket,
        Err(status) => return refused(status, &sender).await,
    };
    loop {
        let said = match socket.text().await {
            Ok(text) => Said::from_json(&text),
            Err((code, reason)) => closed(code, &reason),
        };
        if send(&sender, said).await {
            return;
        }
    }
}

async fn sse(socket: impl Connection, query: String, sender: mpsc::Sender<Said>) {
    let mut stream = match EventStream::over(socket, &format!("/v1/sse?{query}"), &[]).await {
        Ok(stream) => stream,
        Err(status) => return refused(status, &sender).await,
    };
    while let Some(message) = stream.next().await {
        assert_eq!(message.name, "message", "onmessage would miss it");
        let said = Said::from_json(&message.data);
        if let Some(cursor) = said.cursor() {
            assert_eq!(cursor, message.last_event_id, "{said:?}");
        }
        if send(&sender, ended(said)).await {
            return;
        }
    }
    send(&sender, Said::Closed(0, String::new())).await;
}

/// The last object of a stream that the gateway ends.
fn ended(said: Said) -> Said {
    match said {
        Said::Answer(object) => Said::Closed(200, object["code"].as_str().unwrap().to_owned()),
        other => other,
    }
}

async fn pgcachewatch(socket: Result<WebSocket, u16>, channel: String, sender: mpsc::Sender<Said>) {
    let mut socket = match socket {
        Ok(socket) => socket,
        Err(status) => return refused(status, &sender).await,
    };
    let ready = Said::Ready {
        channels: vec![channel.clone()],
        cursor: String::new(),
    };
    let mut ended = send(&sender, ready).await;
    while !ended {
        let said = match socket.text().await {
            Ok(payload) => Said::Event {
                id: String::new(),
                channel: channel.clone(),
                payload,
            },
            Err((code, reason)) => closed(code, &reason),
        };
        ended = send(&sender, said).await;
    }
}

pub(super) async fn refused(status: u16, sender: &mpsc::Sender<Said>) {
    send(sender, Said::Closed(status.into(), String::new())).await;
}

/// Returns whether that was the last message.
pub(super) async fn send(sender: &mpsc::Sender<Said>, said: Said) -> bool {
    let is_end = matches!(said, Said::Closed(..));
    sender.send(said).await.is_err() || is_end
}
