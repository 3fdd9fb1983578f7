//! What the connection of a WebSocket reader turns to next, whatever its
//! format.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use tracing::debug;
use tungstenite::{Error as WsError, Message};

use super::{
    close::{End, close},
    expiry::expired,
    idle::{Due, Idle},
    outbound::{Outbound, Wire},
    web_socket::WebSocket,
};
use crate::hub::Subscription;

/// What a client said, or that it says nothing more.
pub(super) type Frame = Option<Result<Message, WsError>>;

/// See the module.
pub(super) enum Turn {
    Read(Frame),
    /// A ping is due.
    Ping,
    Delivered(Result<(), End>),
}

/// A reader and its socket.
pub(super) struct Reader {
    pub(super) socket: WebSocket,
    pub(super) outbound: Outbound,
}

impl Reader {
    pub(super) fn new(
        socket: WebSocket,
        subscription: Subscription,
        idle: Idle,
        wire: &'static Wire,
    ) -> Self {
        let outbound = Outbound::new(socket.socket(), subscription, idle, wire);
        Self { socket, outbound }
    }

    /// The client first, if it is listened to, so that a busy reader can speak;
    /// what is written half stands before everything.
    pub(super) fn poll_turn(&mut self, cx: &mut Context<'_>, listens: bool) -> Poll<Turn> {
        self.outbound.rise();
        if listens && !self.outbound.is_writing() {
            if let Poll::Ready(frame) = self.socket.poll_read(cx) {
                return Poll::Ready(Turn::Read(frame));
            }
            if let Poll::Ready(due) = self.outbound.poll_due(cx) {
                return Poll::Ready(self.due(due));
            }
        }
        self.outbound.poll_deliver(cx).map(Turn::Delivered)
    }

    /// Leaves, and then closes the socket.
    pub(super) fn leave(self, end: End) -> Pin<Box<impl Future<Output = ()> + use<>>> {
        debug!(?end, "a WebSocket ends");
        Box::pin(close(self.socket, end))
    }

    /// Before a client is gone, what waits in the socket counts: the process
    /// may have slept.
    fn due(&mut self, due: Due) -> Turn {
        match due {
            Due::Expired => Turn::Delivered(Err(End::Refused(expired()))),
            Due::Sign => Turn::Ping,
            Due::Gone => match self.socket.read_now() {
                Some(frame) => Turn::Read(frame),
                None => Turn::Delivered(Err(End::unanswered())),
            },
        }
    }
}
