//! Requests for each transport, and the head of an HTTP/1.1 answer.

use super::grpc;

/// Transport of the readers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wire {
    WebSocket,
    Sse,
    Grpc,
}

/// Request of one connection.
#[derive(Debug, Clone)]
pub struct Request {
    pub wire: Wire,
    /// For HTTP/1.1; gRPC has one path.
    pub path: String,
    /// One channel per stream, for gRPC.
    pub channels: Vec<String>,
    /// Whether the server reports when nothing will be missed any more;
    /// otherwise its first answer counts.
    pub ready_is_said: bool,
}

impl Request {
    pub fn readers(&self) -> usize {
        match self.wire {
            Wire::WebSocket | Wire::Sse => 1,
            Wire::Grpc => self.channels.len(),
        }
    }

    /// The key is the example of RFC 6455, section 1.3.
    pub fn bytes(&self) -> Vec<u8> {
        let path = &self.path;
        match self.wire {
            Wire::WebSocket => format!(
                "GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n\
                 Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                 Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
            )
            .into_bytes(),
            Wire::Sse => format!(
                "GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n"
            )
            .into_bytes(),
            Wire::Grpc => grpc::request(&self.channels),
        }
    }
}

/// Reason why a connection is unusable.
pub type Broken = &'static str;

/// The length of the head, once it is complete.
pub fn head(bytes: &[u8], status: &[u8]) -> Result<Option<usize>, Broken> {
    let Some(end) = memchr::memmem::find(bytes, b"\r\n\r\n") else {
        return Ok(None);
    };
    let line = bytes.get(b"HTTP/1.1 ".len()..);
    if line.is_some_and(|line| line.starts_with(status)) {
        Ok(Some(end + 4))
    } else {
        Err("refused with another HTTP status")
    }
}
