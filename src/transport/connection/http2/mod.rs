//! An HTTP/2 connection (RFC 9113). Each stream has its own task, with no layer
//! between it and h2.

mod request;
mod response;
mod stall;
mod unused;

use std::{
    iter::once,
    pin::Pin,
    task::{Context, Poll, ready},
};

use axum::Router;
use bytes::Bytes;
use futures_util::stream::{FuturesUnordered, StreamExt};
use h2::{
    Ping, PingPong, RecvStream,
    server::{Builder, SendResponse},
};
use http::Request;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    select,
    task::yield_now,
    time::{Sleep, sleep, timeout},
};

pub(in crate::transport) use self::{
    response::{StreamHandOver, TakesStream},
    stall::{SlowReaderCounter, Stall},
};
use super::{
    keepalive::{Keepalive, KeepaliveAction},
    pending_requests::PendingRequests,
};
use crate::{
    shutdown::Shutdown,
    transport::access::{admission::Settings, limits::Peer},
};
use stall::{Read, Watched};
use unused::{Look, Unused};

/// Receive window of the connection, for all streams together. h2 allows half of it
/// as overhead of small DATA frames and treats more as a flood: enough for a
/// request on each stream at once.
const WINDOW: u32 = 1 << 20;

/// Serves a connection to its end. On shutdown it accepts no more streams, and ends
/// when the open ones have ended. It also ends if no request arrives within the
/// request timeout.
pub(in crate::transport) async fn serve<IO>(
    io: IO,
    peer: Peer,
    (app, waiting): (Router, PendingRequests),
    settings: Settings,
    shutdown: &Shutdown,
) -> Result<(), h2::Error>
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    let mut builder = Builder::new();
    builder
        .max_header_list_size(limit(settings.max_header_bytes))
        .max_concurrent_streams(limit(settings.max_streams))
        .initial_connection_window_size(WINDOW);
    let stall = Stall::default();
    let read = Read::default();
    let handshake = builder.handshake(Watched::new(io, stall.clone(), read.clone()));
    let Ok(connected) = timeout(settings.request_timeout, handshake).await else {
        return Ok(());
    };
    let mut connection = Connection::new(connected?, settings, (stall, read));
    // Polled only when woken, and not with each delivery: that would take locks
    // that all connections share.
    let mut told: FuturesUnordered<_> = once(shutdown.told.cancelled()).collect();
    let mut accepted: usize = 0;
    loop {
        let next = select! {
            biased;
            next = std::future::poll_fn(|cx| connection.poll_next(cx)) => next,
            Some(()) = told.next() => Next::Told,
        };
        match next {
            Next::Asked(asked) => {
                let (mut request, respond) = *asked;
                request.extensions_mut().insert(peer);
                match waiting.enter(&mut request) {
                    Ok(place) => {
                        let client = (settings.write_timeout, connection.stall.clone());
                        let asked = (request, place);
                        tokio::spawn(response::answer(app.clone(), asked, respond, client));
                    }
                    Err(no_place) => {
                        response::refuse(respond, no_place.response(request.headers()));
                    }
                }
                accepted = accepted.wrapping_add(1);
                if accepted.is_multiple_of(REQUESTS) {
                    yield_now().await;
                }
            }
            Next::Told if connection.unasked.is_some() => return Ok(()),
            Next::Told | Next::Unused => connection.h2.graceful_shutdown(),
            Next::Ended(result) => return result,
        }
    }
}

/// Requests accepted from one connection before other tasks run. Each becomes a task: if
/// all streams of some connections began at once, events would wait behind thousands.
const REQUESTS: usize = 8;

/// Saturates at the 32 bits that the protocol has for it.
fn limit(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

enum Next {
    Asked(Box<(Request<RecvStream>, SendResponse<Bytes>)>),
    Told,
    /// No stream was open for a while.
    Unused,
    Ended(Result<(), h2::Error>),
}

struct Connection<IO> {
    h2: h2::server::Connection<Watched<IO>, Bytes>,
    stall: Stall,
    read: Read,
    pings: Option<PingPong>,
    idle: Keepalive,
    unused: Unused,
    /// Deadline for the first request.
    unasked: Option<Pin<Box<Sleep>>>,
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Connection<IO> {
    fn new(
        mut h2: h2::server::Connection<Watched<IO>, Bytes>,
        settings: Settings,
        (stall, read): (Stall, Read),
    ) -> Self {
        Self {
            pings: h2.ping_pong(),
            h2,
            stall,
            read,
            idle: Keepalive::answered_with(&settings),
            unused: Unused::default(),
            unasked: Some(Box::pin(sleep(settings.request_timeout))),
        }
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Next> {
        match self.h2.poll_accept(cx) {
            Poll::Ready(Some(Ok(asked))) => {
                self.unasked = None;
                self.unused.asked();
                return Poll::Ready(Next::Asked(Box::new(asked)));
            }
            Poll::Ready(Some(Err(error))) => return Poll::Ready(Next::Ended(Err(error))),
            Poll::Ready(None) => return Poll::Ready(Next::Ended(Ok(()))),
            Poll::Pending => self.read.all_accepted(),
        }
        let unasked = self.unasked.as_mut();
        if unasked.is_some_and(|unasked| unasked.as_mut().poll(cx).is_ready()) {
            return Poll::Ready(Next::Ended(Ok(())));
        }
        match self.unused.poll_look(cx, &self.stall) {
            Poll::Ready(Look::Unused) => return Poll::Ready(Next::Unused),
            Poll::Ready(Look::Refuses) => return Poll::Ready(Next::Ended(Ok(()))),
            Poll::Pending => {}
        }
        self.poll_gone(cx).map(|()| Next::Ended(Ok(())))
    }

    /// Ready when the client has not answered a ping for too long.
    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(pings) = &mut self.pings else {
            return Poll::Pending;
        };
        while let Poll::Ready(Ok(_)) = pings.poll_pong(cx) {
            self.idle.heard();
        }
        while let KeepaliveAction::Sign = ready!(self.idle.poll_due(cx)) {
            // A ping that cannot be sent remains unanswered, and ends the
            // connection.
            let _ = pings.send_ping(Ping::opaque());
        }
        self.stall.note();
        Poll::Ready(())
    }
}
