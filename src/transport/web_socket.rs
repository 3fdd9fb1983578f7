//! A WebSocket of a reader: what clients say is tungstenite's to read, and
//! events go around it, as bytes that are the same for every reader.

use std::{
    cell::RefCell,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures_util::{SinkExt, Stream, StreamExt};
use tokio::io::AsyncWrite;
use tokio_tungstenite::WebSocketStream;
use tungstenite::{
    Error as WsError, Message,
    protocol::frame::{
        Frame,
        coding::{Data, OpCode},
    },
};

use super::{close::End, idle::Idle, socket::Socket};
use crate::hub::{Delivery, Ended};

/// What a subscription yields.
pub(super) type Item = Result<Delivery, Ended>;

/// Deliveries in one write: between two writes a connection listens to its
/// client, however busy it is.
const DELIVERIES: usize = 512;

/// Bytes after which a write begins, though more deliveries are there.
const WRITE: usize = 64 << 10;

thread_local! {
    /// What is about to be written. Empty between two turns, so that one for
    /// each thread is enough.
    static OUT: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// See the module.
#[derive(Debug)]
pub(super) struct WebSocket {
    stream: WebSocketStream<Socket>,
    /// What the socket has not taken yet; while there is any, nothing else is
    /// written, and so nothing read: an answer to a ping would come between.
    rest: Vec<u8>,
    /// Why it ends, once the rest is written.
    end: Option<End>,
}

impl WebSocket {
    pub(super) fn new(stream: WebSocketStream<Socket>) -> Self {
        Self {
            stream,
            rest: Vec::new(),
            end: None,
        }
    }

    /// Whether it waits for the socket to take what was begun.
    pub(super) fn is_writing(&self) -> bool {
        !self.rest.is_empty()
    }

    /// The client's next message; a ping is answered. Not to be called while
    /// `is_writing`.
    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Message, WsError>>> {
        self.stream.poll_next_unpin(cx)
    }

    /// What the client has said already.
    pub(super) fn read_now(&mut self) -> Option<Option<Result<Message, WsError>>> {
        use futures_util::FutureExt;
        self.stream.next().now_or_never()
    }

    /// Writes one message, and what tungstenite has to answer.
    pub(super) async fn send(&mut self, message: Message) -> Result<(), End> {
        Ok(self.stream.send(message).await?)
    }

    /// Writes what tungstenite has to answer, so that nothing of it is left
    /// when events are written.
    pub(super) async fn flush(&mut self) -> Result<(), End> {
        Ok(self.stream.flush().await?)
    }

    /// Writes what `deliveries` has, as `put` puts it, each time in one write.
    /// Pending when there is no more, or the socket takes no more; ready after
    /// much of it, so that the client is listened to, and at the end. `idle` is
    /// told of it.
    pub(super) fn poll_deliver(
        &mut self,
        cx: &mut Context<'_>,
        deliveries: &mut (impl Stream<Item = Item> + Unpin),
        put: fn(Item, &mut Vec<u8>) -> Result<(), End>,
        idle: &mut Idle,
    ) -> Poll<Result<(), End>> {
        if self.is_writing() {
            ready!(self.poll_write_rest(cx, idle))?;
            return Poll::Ready(self.end.take().map_or(Ok(()), Err));
        }
        let gathered = OUT.with_borrow_mut(|out| {
            out.clear();
            let gathered = gather(cx, deliveries, put, out);
            if !out.is_empty() {
                let written = match Pin::new(self.stream.get_mut()).poll_write(cx, out) {
                    Poll::Ready(written) => written.map_err(|_| End::ByClient)?,
                    Poll::Pending => 0,
                };
                self.rest.extend_from_slice(&out[written..]);
                idle.touch();
            }
            Ok::<_, End>(gathered)
        })?;
        if let Gathered::End(end) = gathered {
            self.end = Some(end);
        } else if let Gathered::All = gathered
            && !self.is_writing()
        {
            return Poll::Pending;
        }
        ready!(self.poll_write_rest(cx, idle))?;
        Poll::Ready(self.end.take().map_or(Ok(()), Err))
    }

    fn poll_write_rest(&mut self, cx: &mut Context<'_>, idle: &mut Idle) -> Poll<Result<(), End>> {
        let mut taken = 0;
        while taken < self.rest.len() {
            match Pin::new(self.stream.get_mut()).poll_write(cx, &self.rest[taken..]) {
                Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Err(End::ByClient)),
                Poll::Ready(Ok(written)) => {
                    taken += written;
                    idle.took();
                }
                Poll::Pending => {
                    self.rest.drain(..taken);
                    return Poll::Pending;
                }
            }
        }
        self.rest = Vec::new();
        Poll::Ready(Ok(()))
    }
}

/// How far `gather` has come.
enum Gathered {
    /// There is no more now; who asked is woken.
    All,
    /// Enough for one write.
    Enough,
    /// Nothing follows.
    End(End),
}

fn gather(
    cx: &mut Context<'_>,
    deliveries: &mut (impl Stream<Item = Item> + Unpin),
    put: fn(Item, &mut Vec<u8>) -> Result<(), End>,
    out: &mut Vec<u8>,
) -> Gathered {
    for _ in 0..DELIVERIES {
        match deliveries.poll_next_unpin(cx) {
            Poll::Pending => return Gathered::All,
            Poll::Ready(None) => return Gathered::End(End::ByClient),
            Poll::Ready(Some(item)) => {
                if let Err(end) = put(item, out) {
                    return Gathered::End(end);
                }
            }
        }
        if out.len() >= WRITE {
            break;
        }
    }
    Gathered::Enough
}

/// A text frame (RFC 6455, section 5.2); the server's have no mask.
pub(super) fn frame(text: impl Into<Bytes>) -> Vec<u8> {
    let mut bytes = Vec::new();
    put_frame(text, &mut bytes);
    // It is kept with the event, and what is kept is counted.
    bytes.shrink_to_fit();
    bytes
}

pub(super) fn put_frame(text: impl Into<Bytes>, out: &mut Vec<u8>) {
    let frame = Frame::message(text, OpCode::Data(Data::Text), true);
    // Writing to a vector cannot fail.
    let _ = frame.format(out);
}
