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
    idle::{Due, Idle},
    web_socket::{Item, WebSocket},
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
    pub(super) subscription: Subscription,
    pub(super) idle: Idle,
    /// How this format has what is delivered.
    pub(super) put: fn(Item, &mut Vec<u8>) -> Result<(), End>,
}

impl Reader {
    /// The client first, if it is listened to, so that a busy reader can speak;
    /// what is written half stands before everything.
    pub(super) fn poll_turn(&mut self, cx: &mut Context<'_>, listens: bool) -> Poll<Turn> {
        if listens && !self.socket.is_writing() {
            if let Poll::Ready(frame) = self.socket.poll_read(cx) {
                return Poll::Ready(Turn::Read(frame));
            }
            if let Poll::Ready(due) = self.idle.poll_due(cx) {
                return Poll::Ready(self.due(due));
            }
        }
        let (subscription, idle) = (&mut self.subscription, &mut self.idle);
        let delivered = self.socket.poll_deliver(cx, subscription, self.put, idle);
        delivered.map(Turn::Delivered)
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
            Due::Sign => Turn::Ping,
            Due::Gone => match self.socket.read_now() {
                Some(frame) => Turn::Read(frame),
                None => Turn::Delivered(Err(End::unanswered())),
            },
        }
    }
}
