//! An HTTP/1.1 connection (RFC 9112), served by hyper until it ends or a response
//! takes it over.

use std::{
    convert::Infallible,
    error::Error as _,
    future::{pending, poll_fn},
    io,
    pin::{Pin, pin},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::Poll,
};

use axum::{
    Router,
    http::{HeaderMap, Request, StatusCode, header},
    response::Response,
};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::select;
use tower::ServiceExt as _;

use super::{
    http2::SlowReaderCounter, pending_requests::PendingRequests, socket::Socket, takeover::Takeover,
};
use crate::{
    shutdown::Shutdown,
    transport::{
        access::{admission::Settings, limits::Peer},
        protocol::codes::Refusal,
    },
};

/// State of a connection, written by its requests.
#[derive(Default)]
struct ConnectionState {
    was_asked: AtomicBool,
    leaving: Mutex<Option<Takeover>>,
    /// Counter of the last response, if that is a reader's.
    reader: Mutex<Option<SlowReaderCounter>>,
}

impl ConnectionState {
    /// Counts a reader as slow if the error is a timeout, of the kernel or of the
    /// socket.
    fn failed(&self, error: &hyper::Error) {
        let cause = error.source().and_then(|cause| cause.downcast_ref());
        if cause.is_some_and(|error: &io::Error| error.kind() == io::ErrorKind::TimedOut) {
            lock(&self.reader)
                .take()
                .inspect(SlowReaderCounter::is_slow);
        }
    }
}

/// Serves a connection to its end. On shutdown it accepts no more requests, and
/// ends when the current one is answered.
pub(in crate::transport) async fn serve(
    stream: Socket,
    peer: Peer,
    (app, waiting): (Router, PendingRequests),
    settings: Settings,
    shutdown: &Shutdown,
) -> hyper::Result<()> {
    let told = Arc::new(ConnectionState::default());
    let service = {
        let told = told.clone();
        service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(peer);
            answer((app.clone(), waiting.clone()), request, told.clone())
        })
    };
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        // From the beginning, and from each response, to the end of the next head.
        .header_read_timeout(settings.request_timeout)
        .max_buf_size(settings.max_header_bytes)
        .serve_connection(TokioIo::new(stream), service);
    let serving = async {
        select! {
            result = &mut connection => return result,
            () = shutdown.told.cancelled() => {}
        }
        if !told.was_asked.load(Ordering::Relaxed) {
            return Ok(());
        }
        Pin::new(&mut connection).graceful_shutdown();
        (&mut connection).await
    };
    let left = until_it_leaves(serving, &told).await;
    if let Some(left) = left.inspect_err(|error| told.failed(error))? {
        let parts = connection.into_parts();
        // A copy of the bytes already read: the buffer itself belongs to the
        // server.
        let read = parts.read_buf.to_vec();
        if let Some(serving) = left.open(parts.io.into_inner(), read).await {
            shutdown.tasks.spawn(serving.0);
        }
    }
    Ok(())
}

/// Never returns if the response takes the connection over.
async fn answer(
    (app, waiting): (Router, PendingRequests),
    mut request: Request<Incoming>,
    told: Arc<ConnectionState>,
) -> Result<Response, Infallible> {
    told.was_asked.store(true, Ordering::Relaxed);
    if is_coded(request.headers()) {
        return Ok(coded());
    }
    let place = match waiting.enter(&mut request) {
        Ok(place) => place,
        Err(no_place) => return Ok(no_place.response(request.headers())),
    };
    let mut response = app.oneshot(request).await?;
    drop(place);
    *lock(&told.reader) = response.extensions_mut().remove();
    let Some(leaving) = Takeover::of(&mut response) else {
        return Ok(response);
    };
    *lock(&told.leaving) = Some(leaving);
    pending().await
}

/// Whether a transfer coding other than `chunked` is used (RFC 9112, section 6.1):
/// hyper removes only `chunked`, and the coded bytes would be taken for the body.
fn is_coded(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    codings.any(|value| !value.as_bytes().eq_ignore_ascii_case(b"chunked"))
}

fn coded() -> Response {
    let refusal = Refusal::invalid("a body is taken without a transfer coding but `chunked`");
    refusal.with_status(StatusCode::NOT_IMPLEMENTED)
}

/// Checks after each poll whether a response takes the connection over: the
/// response is made in the same task.
async fn until_it_leaves(
    serving: impl Future<Output = hyper::Result<()>>,
    told: &ConnectionState,
) -> hyper::Result<Option<Takeover>> {
    let mut serving = pin!(serving);
    poll_fn(|cx| match serving.as_mut().poll(cx) {
        Poll::Ready(result) => Poll::Ready(result.map(|()| None)),
        Poll::Pending => match lock(&told.leaving).take() {
            Some(left) => Poll::Ready(Ok(Some(left))),
            None => Poll::Pending,
        },
    })
    .await
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
