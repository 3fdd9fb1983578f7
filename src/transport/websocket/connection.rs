//! Events of a WebSocket reader's connection, for all formats.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use tracing::debug;
use tungstenite::Message;

use super::{close::close, socket::WebSocket};
use crate::transport::{
    access::{authorized::AuthorizedSubscription, expiry::expired},
    connection::keepalive::{Keepalive, KeepaliveAction},
    delivery::{
        end::End,
        outbound::{Outbound, Wire},
    },
};

/// A message of the client; `None` at the end of its stream.
pub(super) type Frame = Option<Result<Message, End>>;

/// Next event of a connection.
pub(super) enum ConnectionEvent {
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
        subscription: AuthorizedSubscription,
        idle: Keepalive,
        wire: &'static Wire,
    ) -> Self {
        let outbound = Outbound::new(socket.socket(), subscription, idle, wire);
        Self { socket, outbound }
    }

    /// Polls the client first (if `listens`), so that a busy reader can still send;
    /// a partial write has precedence over everything.
    pub(super) fn poll_turn(
        &mut self,
        cx: &mut Context<'_>,
        listens: bool,
    ) -> Poll<ConnectionEvent> {
        self.outbound.reclaim();
        if listens && !self.outbound.is_writing() {
            if let Poll::Ready(frame) = self.socket.poll_read(cx) {
                return Poll::Ready(ConnectionEvent::Read(frame));
            }
            if let Poll::Ready(due) = self.outbound.poll_due(cx) {
                return Poll::Ready(self.due(due));
            }
        }
        let socket = self.socket.socket_mut();
        self.outbound
            .poll_deliver(cx, socket)
            .map(ConnectionEvent::Delivered)
    }

    /// Leaves the hub, then closes the socket; the reader's permit is held until it
    /// is closed. In the middle of a frame nothing is sent: the client would take
    /// any bytes, even the answer to a ping, for the rest of that frame.
    pub(super) fn leave(self, end: End) -> Pin<Box<impl Future<Output = ()> + use<>>> {
        debug!(?end, "a WebSocket ends");
        let Self { socket, outbound } = self;
        let is_whole = !outbound.is_writing();
        end.code()
            .inspect(|code| outbound.subscription.refused(*code));
        let presence = outbound.subscription.leave();
        Box::pin(async move {
            if is_whole {
                close(socket, end).await;
            }
            drop(presence);
        })
    }

    /// Before a client counts as gone, pending input is read: the process may have
    /// been suspended.
    fn due(&mut self, due: KeepaliveAction) -> ConnectionEvent {
        match due {
            KeepaliveAction::Expired => ConnectionEvent::Delivered(Err(End::Refused(expired()))),
            KeepaliveAction::Sign => ConnectionEvent::Ping,
            KeepaliveAction::Gone => match self.socket.read_now() {
                Some(frame) => ConnectionEvent::Read(frame),
                None => ConnectionEvent::Delivered(Err(End::unanswered())),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::{TcpListener, TcpStream},
    };
    use tokio_tungstenite::WebSocketStream;
    use tungstenite::protocol::Role;

    use super::*;
    use crate::{
        channel_demand::Demand,
        event::{Form, WireName},
        hub::{CLIENT, Config, Hub},
        transport::{
            access::{
                authorized::AuthorizedSubscription,
                limits::{Rate, TokenBucket},
            },
            connection::{socket::Socket, tcp::Tcp},
            websocket::frames::Frames,
        },
    };

    const WIRE: Wire = Wire {
        form: Form::WebSocketRaw,
        encode: |_| Bytes::new(),
        put: |_, _| Ok(()),
    };

    /// A masked ping of four bytes.
    const PING: [u8; 10] = [0x89, 0x84, 0, 0, 0, 0, b'p', b'i', b'n', b'g'];

    async fn heard_after(half: &'static [u8]) -> Vec<u8> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut client = TcpStream::connect(address).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        let limit = Duration::from_secs(30);
        let socket = Socket::Plain(Tcp::new(stream, limit, None).unwrap());
        let socket = Frames::of(socket, b"");
        let stream = WebSocketStream::from_raw_socket(socket, Role::Server, None).await;
        let subscription = Hub::new(Config::default(), Demand::default())
            .subscribe(WireName::WebSocket, CLIENT)
            .unwrap();
        let idle = Keepalive::answered(limit, limit);
        let mut reader = Reader::new(
            WebSocket::new(stream, TokenBucket::new(Rate::a_second(1)), limit),
            AuthorizedSubscription::alone(subscription),
            idle,
            &WIRE,
        );
        if !half.is_empty() {
            reader.outbound.say(Bytes::from_static(half));
        }
        client.write_all(&PING).await.unwrap();
        client.shutdown().await.unwrap();
        reader.leave(End::unanswered()).await;
        let mut heard = Vec::new();
        // Closed with something unread, it may end with a reset.
        let _ = client.read_to_end(&mut heard).await;
        heard
    }

    #[tokio::test]
    async fn nothing_is_said_in_the_middle_of_a_frame() {
        assert_eq!(heard_after(b"the rest of a frame").await, b"");
        // A close frame.
        assert_eq!(heard_after(b"").await.first(), Some(&0x88));
    }
}
