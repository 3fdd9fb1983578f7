//! An HTTP/2 connection (RFC 9113): its streams, each in a task of its own, and
//! nothing between a stream and h2.

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

/// What a client may send before it is read, on all streams together. h2 takes
/// half of it for the overhead of small DATA frames, after which it takes them
/// for a flood: enough for every stream's request at once.
const WINDOW: u32 = 1 << 20;

/// Serves a connection to its end, or that of the gateway: then it begins no
/// more streams, and ends when those it has are over. Not asked anything in
/// time, it ends too.
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
    // Looked at when it wakes, and not with each delivery: it would take locks
    // that all connections share.
    let mut told: FuturesUnordered<_> = once(shutdown.told.cancelled()).collect();
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
            }
            Next::Told if connection.unasked.is_some() => return Ok(()),
            Next::Told | Next::Unused => connection.h2.graceful_shutdown(),
            Next::Ended(result) => return result,
        }
    }
}

/// Of what the protocol has 32 bits for.
fn limit(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

enum Next {
    Asked(Box<(Request<RecvStream>, SendResponse<Bytes>)>),
    Told,
    /// It has had no stream for long.
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
    /// Runs until the first request.
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

    /// Ready when the client has answered no ping for too long.
    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(pings) = &mut self.pings else {
            return Poll::Pending;
        };
        while let Poll::Ready(Ok(_)) = pings.poll_pong(cx) {
            self.idle.heard();
        }
        while let KeepaliveAction::Sign = ready!(self.idle.poll_due(cx)) {
            // One that cannot be sent is one that is not answered.
            let _ = pings.send_ping(Ping::opaque());
        }
        self.stall.note();
        Poll::Ready(())
    }
}
