//! Responses on HTTP/2.
//!
//! The socket does not show whether a client reads one stream: it also accepts pings
//! and the data of the other streams. Each stream is therefore watched by itself. One
//! whose window stays shut for `write_timeout` is reset alone (RFC 9113, section
//! 5.4.2). The reset carries no reason: in a body that would be DATA, which the shut
//! window blocks. A gRPC stream that is handed over can still get a status
//! (`grpc/cuts.rs`).

use std::{
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, SystemTime},
};

use axum::{Router, body::Body};
use bytes::Bytes;
use h2::{Reason, RecvStream, SendStream, server::SendResponse};
use http::{HeaderMap, HeaderValue, Request, Response, header};
use http_body_util::BodyExt as _;
use hyper::body::Body as _;
use tokio::{select, time::timeout};
use tower::ServiceExt as _;
use tracing::debug;

use super::{
    request,
    stall::{SlowReaderCounter, Stall},
};
use crate::transport::connection::{pending_requests::WaitingPlace, take_once::TakeOnce};

type Serve = Box<dyn FnOnce(SendStream<Bytes>) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send>;

/// Request extension: the response may be a [`StreamHandOver`].
#[derive(Debug, Clone)]
pub(in crate::transport) struct TakesStream(pub(in crate::transport) Stall);

/// Reason why a response was not sent completely.
enum Broken {
    /// The window stayed shut for the limit.
    Stalled,
    Gone(h2::Error),
}

impl<E: Into<h2::Error>> From<E> for Broken {
    fn from(error: E) -> Self {
        Self::Gone(error.into())
    }
}

/// Response extension: the function that takes the stream over after the head, in
/// place of the body.
#[derive(Debug, Clone)]
pub(in crate::transport) struct StreamHandOver(TakeOnce<Serve>);

impl StreamHandOver {
    pub(in crate::transport) fn to<F>(
        serve: impl FnOnce(SendStream<Bytes>) -> F + Send + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let serve: Serve = Box::new(|stream| Box::pin(serve(stream)));
        Self(TakeOnce::new(serve))
    }
}

/// Sends the response, unless the client resets the stream first. `limit` is how
/// long the stream's window may stay shut.
pub(super) async fn answer(
    app: Router,
    (request, place): (Request<RecvStream>, WaitingPlace),
    mut respond: SendResponse<Bytes>,
    (limit, stall): (Duration, Stall),
) {
    let mut request = request.map(request::body);
    if !is_grpc_web(request.headers()) {
        request.extensions_mut().insert(TakesStream(stall.clone()));
    }
    let answer = Box::pin(app.oneshot(request));
    let Ok(mut response) = select! {
        response = answer => response,
        _ = poll_fn(|cx| respond.poll_reset(cx)) => return,
    };
    let reader = response.extensions_mut().remove::<SlowReaderCounter>();
    // From now on it is counted as a reader.
    let is_reader = reader.is_some() || response.extensions().get::<StreamHandOver>().is_some();
    let place = (!is_reader).then_some(place);
    let sent = Box::pin(send(response, respond, limit)).await;
    drop(place);
    match sent {
        Ok(Some(serve)) => {
            tokio::spawn(async move {
                serve.await;
                drop(stall);
            });
        }
        Ok(None) => {}
        Err(broken) => {
            let is_slow = matches!(broken, Broken::Stalled) || stall.is_noted();
            reader
                .filter(|_| is_slow)
                .inspect(SlowReaderCounter::is_slow);
            match broken {
                Broken::Stalled => debug!("a stream takes nothing: reset"),
                Broken::Gone(error) => debug!(%error, "a stream ended"),
            }
        }
    }
}

/// Sends a refusal as a head alone: h2 would buffer a body for as long as the
/// client keeps the stream's window shut.
pub(super) fn refuse(mut respond: SendResponse<Bytes>, response: Response<Body>) {
    let (mut parts, _) = response.into_parts();
    if !parts.headers.contains_key("grpc-status") {
        parts.headers.remove(header::CONTENT_TYPE);
    }
    // A reset stream needs no response.
    let _ = respond.send_response(Response::from_parts(parts, ()), true);
}

/// Whether the response is gRPC-Web: it is rewritten, with the trailers in the
/// body, so it needs a body.
fn is_grpc_web(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE);
    kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc-web"))
}

type ConnectionTask = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Sends the whole response, or its head and returns the task that serves the rest.
async fn send(
    response: Response<Body>,
    mut respond: SendResponse<Bytes>,
    limit: Duration,
) -> Result<Option<ConnectionTask>, Broken> {
    let (mut parts, body) = response.into_parts();
    if let Ok(now) = HeaderValue::try_from(httpdate::fmt_http_date(SystemTime::now())) {
        parts.headers.insert(header::DATE, now);
    }
    let hand_over = parts.extensions.remove::<StreamHandOver>();
    let serve = hand_over.and_then(|hand_over| hand_over.0.take());
    let is_all = serve.is_none() && body.is_end_stream();
    let stream = respond.send_response(Response::from_parts(parts, ()), is_all)?;
    match serve {
        Some(serve) => return Ok(Some(serve(stream))),
        None if is_all => {}
        None => send_body(body, stream, limit).await?,
    }
    Ok(None)
}

async fn send_body(
    mut body: Body,
    mut stream: SendStream<Bytes>,
    limit: Duration,
) -> Result<(), Broken> {
    loop {
        let frame = select! {
            frame = body.frame() => frame,
            reason = poll_fn(|cx| stream.poll_reset(cx)) => return Err(reason?.into()),
        };
        match frame {
            None => return Ok(stream.send_data(Bytes::new(), true)?),
            Some(Err(error)) => {
                debug!(%error, "a body broke off");
                stream.send_reset(Reason::INTERNAL_ERROR);
                return Ok(());
            }
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => send_data(data, &mut stream, limit).await?,
                Err(frame) => {
                    let trailers = frame.into_trailers().unwrap_or_default();
                    return Ok(stream.send_trailers(trailers)?);
                }
            },
        }
    }
}

async fn send_data(
    mut data: Bytes,
    stream: &mut SendStream<Bytes>,
    limit: Duration,
) -> Result<(), Broken> {
    while !data.is_empty() {
        let given = poll_fn(|cx| give(&mut data, stream, cx));
        match timeout(limit, given).await {
            Ok(given) => given?,
            Err(_) => {
                stream.send_reset(Reason::CANCEL);
                return Err(Broken::Stalled);
            }
        }
    }
    Ok(())
}

/// Sends as much as the stream's window allows: at least one byte when ready.
fn give(
    data: &mut Bytes,
    stream: &mut SendStream<Bytes>,
    cx: &mut Context<'_>,
) -> Poll<Result<(), h2::Error>> {
    stream.reserve_capacity(data.len());
    while stream.capacity() == 0 {
        match std::task::ready!(stream.poll_capacity(cx)) {
            Some(room) => room?,
            None => return Poll::Ready(Err(Reason::STREAM_CLOSED.into())),
        };
    }
    let room = stream.capacity().min(data.len());
    Poll::Ready(stream.send_data(data.split_to(room), false))
}
