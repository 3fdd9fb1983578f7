//! How a connection leaves its HTTP/1.1 server: a response that never ends is
//! answered by its head alone, and what serves it gets the bare socket. What
//! the server holds for a connection is then gone, and no layer of it stands
//! between an event and the socket.

use std::{pin::Pin, time::SystemTime};

use axum::response::Response;
use http::{HeaderValue, Request, Version, header};
use tokio::io::AsyncWriteExt;

use super::{socket::Socket, take_once::TakeOnce};

/// Opens the rest of the connection; the bytes were read of it already.
type Open = Box<dyn FnOnce(Socket, Vec<u8>) -> Boxed<ConnectionTask> + Send>;

type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Serves a connection to its end, and has not the room of what opened it.
pub(in crate::transport) struct ConnectionTask(pub(super) Boxed<()>);

impl ConnectionTask {
    pub(in crate::transport) fn by(serving: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(Box::pin(serving))
    }
}

/// In the extensions of a response: who takes the connection over.
#[derive(Debug, Clone)]
pub(in crate::transport) struct HandOver(TakeOnce<Open>);

impl HandOver {
    /// Whether `request` came alone on a connection that can be handed over.
    pub(in crate::transport) fn is_possible<B: hyper::body::Body>(request: &Request<B>) -> bool {
        let is_get = request.method() == http::Method::GET;
        is_get && request.version() == Version::HTTP_11 && request.body().is_end_stream()
    }

    /// To be put into the response.
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

/// A connection on its way: the head of its last response, and who serves it.
pub(super) struct Takeover {
    head: Vec<u8>,
    open: Open,
}

impl Takeover {
    /// If `response` is one to be handed over.
    pub(super) fn of(response: &mut Response) -> Option<Self> {
        let hand_over = response.extensions_mut().remove::<HandOver>()?;
        let open = hand_over.0.take()?;
        let head = head(response);
        Some(Self { head, open })
    }

    /// Writes the head; then there is somebody to serve the connection.
    pub(super) async fn open(self, mut socket: Socket, read: Vec<u8>) -> Option<ConnectionTask> {
        socket.write_all(&self.head).await.ok()?;
        socket.flush().await.ok()?;
        Some((self.open)(socket, read).await)
    }
}

/// RFC 9112, sections 4 and 5.
fn head(response: &mut Response) -> Vec<u8> {
    let status = response.status();
    let headers = response.headers_mut();
    // Of the body that is not sent.
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
