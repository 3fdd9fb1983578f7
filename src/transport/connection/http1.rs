//! An HTTP/1.1 connection (RFC 9112): hyper serves it until it ends, or until a
//! response takes it over.

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

/// What its requests tell of a connection.
#[derive(Default)]
struct ConnectionState {
    was_asked: AtomicBool,
    leaving: Mutex<Option<Takeover>>,
    /// Whose the last answer is.
    reader: Mutex<Option<SlowReaderCounter>>,
}

impl ConnectionState {
    /// A reader that takes nothing is counted: the kernel or the socket says so.
    fn failed(&self, error: &hyper::Error) {
        let cause = error.source().and_then(|cause| cause.downcast_ref());
        if cause.is_some_and(|error: &io::Error| error.kind() == io::ErrorKind::TimedOut) {
            lock(&self.reader)
                .take()
                .inspect(SlowReaderCounter::is_slow);
        }
    }
}

/// Serves a connection to its end, or that of the gateway: then it takes no more
/// requests, and ends when the one it has is answered.
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
        // From the beginning, and from each answer, to the end of the next head.
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
        // A copy of what was read already: the buffer itself is the server's.
        let read = parts.read_buf.to_vec();
        if let Some(serving) = left.open(parts.io.into_inner(), read).await {
            shutdown.tasks.spawn(serving.0);
        }
    }
    Ok(())
}

/// One that takes its connection over is never answered here.
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

/// RFC 9112, section 6.1: hyper takes off `chunked`, and what else there is would
/// be taken for the body itself.
fn is_coded(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    codings.any(|value| !value.as_bytes().eq_ignore_ascii_case(b"chunked"))
}

fn coded() -> Response {
    let refusal = Refusal::invalid("a body is taken without a transfer coding but `chunked`");
    refusal.with_status(StatusCode::NOT_IMPLEMENTED)
}

/// Looks each time whether a response takes the connection over: it is the same
/// task that makes it.
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
