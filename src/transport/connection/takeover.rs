//! Takeover of a connection from its HTTP/1.1 server: only the head of an endless
//! response is sent, then its task gets the bare socket. The server's state for the
//! connection is freed, and none of its layers stands between an event and the
//! socket.

use std::{pin::Pin, time::SystemTime};

use axum::response::Response;
use http::{HeaderValue, Request, Version, header};
use tokio::io::AsyncWriteExt;

use super::{socket::Socket, take_once::TakeOnce};

/// Opens the rest of the connection; the bytes are those already read from it.
type Open = Box<dyn FnOnce(Socket, Vec<u8>) -> Boxed<ConnectionTask> + Send>;

type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Task that serves a connection to its end. Separate from the future that opened
/// it, so that it does not keep that future's memory.
pub(in crate::transport) struct ConnectionTask(pub(super) Boxed<()>);

impl ConnectionTask {
    pub(in crate::transport) fn by(serving: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(Box::pin(serving))
    }
}

/// Response extension: the function that takes the connection over.
#[derive(Debug, Clone)]
pub(in crate::transport) struct HandOver(TakeOnce<Open>);

impl HandOver {
    /// Whether the connection of `request` can be handed over: an HTTP/1.1 GET
    /// without a body.
    pub(in crate::transport) fn is_possible<B: hyper::body::Body>(request: &Request<B>) -> bool {
        let is_get = request.method() == http::Method::GET;
        is_get && request.version() == Version::HTTP_11 && request.body().is_end_stream()
    }

    /// Extension for the response.
    pub(in crate::transport) fn to<F>(
        open: impl FnOnce(Socket, Vec<u8>) -> F + Send + 'static,
    ) -> Self
    where
        F: Future<Output = ConnectionTask> + Send + 'static,
    {
        let open: Open = Box::new(|socket, read| Box::pin(open(socket, read)));
        Self(TakeOnce::new(open))
    }
}

/// A takeover in progress: the head of the last response, and the function that
/// serves the rest.
pub(super) struct Takeover {
    head: Vec<u8>,
    open: Open,
}

impl Takeover {
    /// Taken from the extensions of `response`, if it has one.
    pub(super) fn of(response: &mut Response) -> Option<Self> {
        let hand_over = response.extensions_mut().remove::<HandOver>()?;
        let open = hand_over.0.take()?;
        let head = head(response);
        Some(Self { head, open })
    }

    /// Writes the head, then opens the task that serves the connection.
    pub(super) async fn open(self, mut socket: Socket, read: Vec<u8>) -> Option<ConnectionTask> {
        socket.write_all(&self.head).await.ok()?;
        socket.flush().await.ok()?;
        Some((self.open)(socket, read).await)
    }
}

/// The response head as HTTP/1.1 text (RFC 9112, sections 4 and 5).
fn head(response: &mut Response) -> Vec<u8> {
    let status = response.status();
    let headers = response.headers_mut();
    // The length of the body, which is not sent.
    headers.remove(header::CONTENT_LENGTH);
    if let Ok(now) = HeaderValue::try_from(httpdate::fmt_http_date(SystemTime::now())) {
        headers.insert(header::DATE, now);
    }
    let mut head = format!("HTTP/1.1 {status}\r\n").into_bytes();
    for (name, value) in response.headers() {
        head.extend_from_slice(name.as_str().as_bytes());
        head.extend_from_slice(b": ");
        head.extend_from_slice(value.as_bytes());
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(b"\r\n");
    head
}
