//! A stream that has its connection to itself: on HTTP/1.1.
//!
//! The response has no length, so it ends with the connection (RFC 9112, section 6.3),
//! and its events are the same bytes for every reader.

use std::{
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWriteExt, ReadBuf},
    time::timeout,
};
use tracing::debug;

use super::message::{SIGN_OF_LIFE, beginning};
use crate::transport::{
    access::{authorized::AuthorizedSubscription, expiry::expired},
    connection::{
        keepalive::{Keepalive, KeepaliveAction},
        socket::Socket,
    },
    delivery::{
        end::End,
        outbound::{Outbound, Wire},
    },
};

/// How long the client may take to close its side: if the socket were closed before
/// that, the last bytes written could be lost.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// Buffer size for input after the request. It is read to notice the client's end,
/// and discarded.
const UNHEARD: usize = 256;

/// An SSE reader and its socket.
pub(super) struct Connection {
    socket: Socket,
    outbound: Outbound,
}

impl Connection {
    pub(super) fn new(
        socket: Socket,
        subscription: AuthorizedSubscription,
        idle: Keepalive,
        wire: &'static Wire,
    ) -> Self {
        let mut outbound = Outbound::new(&socket, subscription, idle, wire);
        outbound.say(beginning());
        Self { socket, outbound }
    }

    /// Boxed, so that the idle task is small.
    pub(super) async fn run(mut self: Box<Self>) {
        let end = loop {
            if let Err(end) = poll_fn(|cx| self.poll_turn(cx)).await {
                break end;
            }
        };
        debug!(?end, "an SSE stream ends");
        let Self { socket, outbound } = *self;
        if let Some(code) = end.code() {
            outbound.subscription.refused(code);
        }
        // The permit is held until the socket is closed.
        let presence = outbound.subscription.leave();
        Box::pin(farewell(socket)).await;
        drop(presence);
    }

    fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), End>> {
        self.outbound.reclaim();
        if !self.outbound.is_writing() {
            if let Poll::Ready(end) = poll_gone(&mut self.socket, cx) {
                return Poll::Ready(Err(end));
            }
            match self.outbound.poll_due(cx) {
                Poll::Pending => {}
                Poll::Ready(KeepaliveAction::Expired) => self.outbound.refuse(expired()),
                Poll::Ready(KeepaliveAction::Sign | KeepaliveAction::Gone) => {
                    self.outbound.say(SIGN_OF_LIFE)
                }
            }
        }
        self.outbound.poll_deliver(cx, &mut self.socket)
    }
}

/// Ready when the client has closed.
fn poll_gone(socket: &mut Socket, cx: &mut Context<'_>) -> Poll<End> {
    loop {
        let mut unheard = [0; UNHEARD];
        let mut unheard = ReadBuf::new(&mut unheard);
        if let Err(error) = ready!(Pin::new(&mut *socket).poll_read(cx, &mut unheard)) {
            return Poll::Ready(End::of_error(&error));
        }
        if unheard.filled().is_empty() {
            return Poll::Ready(End::ByClient);
        }
    }
}

async fn farewell(mut socket: Socket) {
    let farewell = async {
        if socket.shutdown().await.is_ok() {
            poll_fn(|cx| poll_gone(&mut socket, cx)).await;
        }
    };
    // At the limit the client is treated as gone.
    let _ = timeout(CLOSE_TIMEOUT, farewell).await;
}
