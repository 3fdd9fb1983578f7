//! An EventSource: the algorithm of
//! <https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation>
//! to the letter, over bytes as they come.

use std::{collections::VecDeque, net::SocketAddr};

use http_body_util::BodyExt;
use hyper::{
    Response,
    body::{Bytes, Incoming},
};
use tokio::net::TcpStream;

use super::{Connection, http::request_over, within};

/// One dispatched message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// `message` if the stream named none.
    pub name: String,
    pub data: String,
    pub last_event_id: String,
}

/// The state of one stream.
#[derive(Debug, Default)]
pub struct EventSource {
    unread: Vec<u8>,
    after_cr: bool,
    data: String,
    name: String,
    last_event_id_buffer: String,
    /// The value that the browser would send as `Last-Event-ID`.
    pub last_event_id: String,
    /// In milliseconds.
    pub retry: Option<u64>,
    /// Input that a browser ignores silently: unknown fields, and bytes that are not UTF-8. A
    /// gateway must not send any.
    pub ignored: Vec<String>,
    is_begun: bool,
}

impl EventSource {
    /// Parses bytes and returns the messages that they dispatch.
    pub fn feed(&mut self, bytes: &[u8]) -> Vec<Message> {
        let mut dispatched = Vec::new();
        for &byte in bytes {
            let is_lf_of_crlf = byte == b'\n' && self.after_cr;
            self.after_cr = byte == b'\r';
            match byte {
                b'\n' if is_lf_of_crlf => {}
                b'\n' | b'\r' => {
                    let line = std::mem::take(&mut self.unread);
                    dispatched.extend(self.decoded(&line));
                }
                _ => self.unread.push(byte),
            }
        }
        dispatched
    }

    fn decoded(&mut self, line: &[u8]) -> Option<Message> {
        let line = String::from_utf8_lossy(line);
        if line.contains('\u{fffd}') {
            self.ignored.push(line.clone().into_owned());
        }
        // One byte order mark, at the very beginning.
        let is_first = !std::mem::replace(&mut self.is_begun, true);
        let after_mark = line.strip_prefix('\u{feff}').filter(|_| is_first);
        self.line(after_mark.unwrap_or(&line))
    }

    fn line(&mut self, line: &str) -> Option<Message> {
        if line.is_empty() {
            return self.dispatch();
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => self.name = value.to_owned(),
            "data" => {
                self.data.push_str(value);
                self.data.push('\n');
            }
            "id" if !value.contains('\0') => self.last_event_id_buffer = value.to_owned(),
            "retry" if is_number(value) => self.retry = value.parse().ok(),
            // A comment.
            "" => {}
            _ => self.ignored.push(line.to_owned()),
        }
        None
    }

    fn dispatch(&mut self) -> Option<Message> {
        self.last_event_id.clone_from(&self.last_event_id_buffer);
        let name = std::mem::take(&mut self.name);
        if self.data.is_empty() {
            return None;
        }
        let mut data = std::mem::take(&mut self.data);
        data.truncate(data.len() - 1);
        Some(Message {
            name: if name.is_empty() {
                "message".into()
            } else {
                name
            },
            data,
            last_event_id: self.last_event_id.clone(),
        })
    }
}

fn is_number(value: &str) -> bool {
    !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit())
}

/// An `EventSource` on a connection.
pub struct EventStream {
    pub headers: hyper::HeaderMap,
    pub source: EventSource,
    body: Incoming,
    dispatched: VecDeque<Message>,
}

impl EventStream {
    pub async fn open(address: SocketAddr, path: &str, headers: &[(&str, &str)]) -> Self {
        let opened = Self::try_open(address, path, headers).await;
        opened.unwrap_or_else(|status| panic!("{path}: {status}"))
    }

    /// Opens a stream, or returns the status of the refusal.
    pub async fn try_open(
        address: SocketAddr,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Result<Self, u16> {
        let socket = TcpStream::connect(address).await.unwrap();
        Self::over(socket, path, headers).await
    }

    /// Opens a stream on an existing connection; the status is 0 if the connection ends before
    /// there is one.
    pub async fn over(
        socket: impl Connection,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Result<Self, u16> {
        Self::of(request_over(socket, "GET", path, headers, Bytes::new()).await)
    }

    /// The stream of a response; the status is 0 if there was no response.
    pub fn of(answered: Option<Response<Incoming>>) -> Result<Self, u16> {
        let (head, body) = answered.ok_or(0_u16)?.into_parts();
        if head.status != 200 {
            return Err(head.status.as_u16());
        }
        Ok(Self {
            headers: head.headers,
            source: EventSource::default(),
            body,
            dispatched: VecDeque::new(),
        })
    }

    /// `None` at the end.
    pub async fn next(&mut self) -> Option<Message> {
        while self.dispatched.is_empty() {
            self.chunk().await?;
        }
        self.dispatched.pop_front()
    }

    /// Parses the next chunk, whether it dispatches something or not.
    pub async fn chunk(&mut self) -> Option<Bytes> {
        let bytes = self.body.frame().await?.ok()?.into_data().ok()?;
        let messages = self.source.feed(&bytes);
        assert!(self.source.ignored.is_empty(), "{:?}", self.source.ignored);
        self.dispatched.extend(messages);
        Some(bytes)
    }

    pub async fn message(&mut self) -> Message {
        within("a message", self.next())
            .await
            .expect("the stream goes on")
    }
}
