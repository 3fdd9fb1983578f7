//! A reader's WebSocket. tungstenite reads the client's messages; events bypass it
//! as bytes that are the same for every reader.

use std::{
    io,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use tokio::io::AsyncWriteExt;
use tokio_tungstenite::WebSocketStream;
use tungstenite::{
    Message,
    protocol::frame::{
        Frame,
        coding::{Data, OpCode},
    },
};

use super::frames::Frames;
use crate::transport::{
    access::limits::TokenBucket, connection::socket::Socket, delivery::end::End,
    protocol::codes::Refusal,
};

/// A WebSocket with a limit on the rate of frames and on the time of a message.
#[derive(Debug)]
pub(in crate::transport) struct WebSocket {
    stream: WebSocketStream<Frames>,
    pace: TokenBucket,
    /// How long a message may take from its first byte to its last.
    limit: Duration,
}

impl WebSocket {
    /// `pace` limits the rate of the client's frames, `limit` the time of a
    /// message.
    pub(super) fn new(stream: WebSocketStream<Frames>, pace: TokenBucket, limit: Duration) -> Self {
        Self {
            stream,
            pace,
            limit,
        }
    }

    pub(super) fn socket(&self) -> &Socket {
        self.stream.get_ref().socket()
    }

    /// For writing events.
    pub(super) fn socket_mut(&mut self) -> &mut Socket {
        self.stream.get_mut().socket_mut()
    }

    /// The client's next message; a ping is answered. Must not be called while
    /// events are written: the answer would come in between. Too many messages end
    /// the connection: to skip one could lose a `subscribe`, and to answer each
    /// would be a flood too.
    pub(in crate::transport) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Message, End>>> {
        let polled = loop {
            let polled = self.stream.poll_next_unpin(cx);
            match self.check() {
                // More may be there: `Frames` stops after each read that brought some.
                // The token bucket ends this.
                Ok(1..) if polled.is_pending() => {}
                Ok(_) => break polled,
                Err(refusal) => return Poll::Ready(Some(Err(End::Refused(refusal)))),
            }
        };
        let message = ready!(polled);
        Poll::Ready(message.map(|message| {
            self.pace.take().map_err(End::Refused)?;
            Ok(message?)
        }))
    }

    /// Counts continuation frames as messages, and checks the time of the current
    /// message. Called when something is read and at each keepalive.
    fn check(&mut self) -> Result<usize, Refusal> {
        let frames = self.stream.get_mut();
        let continuations = frames.continuations();
        for _ in 0..continuations {
            self.pace.take()?;
        }
        let begun = frames.begun();
        match begun.is_some_and(|begun| begun.elapsed() >= self.limit) {
            true => Err(Refusal::invalid("the message did not end in time")),
            false => Ok(continuations),
        }
    }

    /// See [`Frames::read_to_close`].
    pub(super) async fn read_to_close(&mut self) {
        self.stream.get_mut().read_to_close().await;
    }

    /// A message that can be read without waiting.
    pub(super) fn read_now(&mut self) -> Option<Option<Result<Message, End>>> {
        use futures_util::FutureExt;
        std::future::poll_fn(|cx| self.poll_read(cx)).now_or_never()
    }

    /// Writes one message, and tungstenite's pending answers.
    pub(in crate::transport) async fn send(&mut self, message: Message) -> Result<(), End> {
        Ok(self.stream.send(message).await?)
    }

    /// Shuts down the write side, over TLS with its `close_notify`.
    pub(super) async fn shutdown(&mut self) -> io::Result<()> {
        self.stream.get_mut().shutdown().await
    }

    /// Writes tungstenite's pending answers, so that none is left when events are
    /// written.
    pub(in crate::transport) async fn flush(&mut self) -> Result<(), End> {
        Ok(self.stream.flush().await?)
    }
}

/// A text frame (RFC 6455, section 5.2); a server's frames have no mask. The
/// capacity is exact, because the frame is kept with an event.
pub(super) fn frame(text: impl Into<Bytes>) -> Vec<u8> {
    let text = text.into();
    let header = match text.len() {
        ..126 => 2,
        126..65_536 => 4,
        _ => 10,
    };
    let mut bytes = Vec::with_capacity(header + text.len());
    put_frame(text, &mut bytes);
    bytes
}

pub(super) fn put_frame(text: impl Into<Bytes>, out: &mut Vec<u8>) {
    let frame = Frame::message(text, OpCode::Data(Data::Text), true);
    // Writing to a vector cannot fail.
    let _ = frame.format(out);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_has_the_room_it_needs() {
        for length in [0, 125, 126, 65_535, 65_536] {
            let frame = frame("x".repeat(length));
            assert!(frame.ends_with(&vec![b'x'; length]));
            assert_eq!(frame.capacity(), frame.len());
        }
    }
}
