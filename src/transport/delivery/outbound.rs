//! What a reader with a socket of its own is sent: the head of the log by a
//! writer, while there is nothing else to say; anything else by the reader's
//! task.

use std::{
    cell::RefCell,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures_util::StreamExt;
use rustix::net::SendFlags;
use tokio::{io::AsyncWrite, net::TcpStream, time::Instant};

use super::end::End;
use crate::{
    event::{Event, Form},
    hub::{Delivery, DirectSlot, EventBatch, EventSink},
    transport::{
        access::authorized::AuthorizedSubscription,
        connection::{
            keepalive::{Keepalive, KeepaliveAction},
            socket::Socket,
        },
        protocol::codes::Refusal,
    },
};

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

/// What is delivered, or why nothing follows.
pub(super) type Item = Result<Delivery, Refusal>;

/// What a wire makes of what is delivered.
#[derive(Debug)]
pub(in crate::transport) struct Wire {
    pub(in crate::transport) form: Form,
    /// An event, once for all readers of this form.
    pub(in crate::transport) encode: fn(&Arc<Event>) -> Bytes,
    /// Anything else; an error is the end, after what was put until then.
    pub(in crate::transport) put: fn(Item, &mut Vec<u8>) -> Result<(), End>,
}

/// See the module.
#[derive(Debug)]
pub(in crate::transport) struct Outbound {
    pub(in crate::transport) subscription: AuthorizedSubscription,
    pub(in crate::transport) idle: Keepalive,
    wire: &'static Wire,
    /// None over TLS: there the reader is woken for all that comes.
    slot: Option<Arc<DirectSlot<SocketSink>>>,
    /// What the socket has not taken yet: it stands before everything else.
    rest: Bytes,
    /// The socket took all of it, and has not sent all of it yet.
    unflushed: bool,
    /// Why it ends, once the rest is written.
    end: Option<End>,
}

impl Outbound {
    pub(in crate::transport) fn new(
        socket: &Socket,
        mut subscription: AuthorizedSubscription,
        idle: Keepalive,
        wire: &'static Wire,
    ) -> Self {
        let slot = socket.stream().map(|stream| {
            Arc::new(DirectSlot::new(SocketSink {
                stream: Some(stream),
                wire,
                rest: None,
            }))
        });
        if let Some(slot) = &slot {
            subscription.attach(slot.clone());
        }
        Self {
            subscription,
            idle,
            wire,
            slot,
            rest: Bytes::new(),
            unflushed: false,
            end: None,
        }
    }

    /// The socket is this task's alone, until it waits for deliveries again. To
    /// be called before anything is written by other means.
    pub(in crate::transport) fn reclaim(&mut self) {
        let Some(slot) = &self.slot else {
            return;
        };
        self.subscription.reclaim();
        if let Some(rest) = slot.with_sink(|line| line.rest.take()) {
            self.rest = *rest;
        }
    }

    /// Whether it waits for the socket to take what was begun: nothing else is
    /// to be written until then.
    pub(in crate::transport) fn is_writing(&self) -> bool {
        !self.rest.is_empty() || self.unflushed
    }

    /// A sign of life is due, or the client is gone, or its token is over.
    pub(in crate::transport) fn poll_due(&mut self, cx: &mut Context<'_>) -> Poll<KeepaliveAction> {
        self.idle.poll_due_of(&self.subscription, cx)
    }

    /// To be written before what is delivered.
    pub(in crate::transport) fn say(&mut self, bytes: Bytes) {
        self.rest = bytes;
    }

    /// Nothing is delivered after this. To be called while nothing is written.
    pub(in crate::transport) fn refuse(&mut self, refusal: Refusal) {
        let mut out = Vec::new();
        self.end = (self.wire.put)(Err(refusal), &mut out).err();
        self.rest = out.into();
    }

    /// Writes what is delivered to `socket`, each time in one write. Pending
    /// when there is no more, or the socket takes no more; ready after much of
    /// it, so that the client is listened to, and at the end.
    pub(in crate::transport) fn poll_deliver(
        &mut self,
        cx: &mut Context<'_>,
        socket: &mut Socket,
    ) -> Poll<Result<(), End>> {
        if self.is_writing() {
            ready!(self.poll_write_rest(cx, socket))?;
            return Poll::Ready(self.end.take().map_or(Ok(()), Err));
        }
        if let Some(end) = self.end.take() {
            return Poll::Ready(Err(end));
        }
        let gathered = OUT.with_borrow_mut(|out| {
            out.clear();
            let gathered = self.gather(cx, out);
            if !out.is_empty() {
                self.begin_write(cx, socket, out)?;
            }
            Ok::<_, End>(gathered)
        })?;
        match gathered {
            Gathered::All if !self.is_writing() => {
                self.subscription.arm();
                return Poll::Pending;
            }
            Gathered::End(end) => self.end = Some(end),
            Gathered::All | Gathered::Enough => {}
        }
        ready!(self.poll_write_rest(cx, socket))?;
        Poll::Ready(self.end.take().map_or(Ok(()), Err))
    }

    fn gather(&mut self, cx: &mut Context<'_>, out: &mut Vec<u8>) -> Gathered {
        for _ in 0..DELIVERIES {
            let put = match self.subscription.poll_next_unpin(cx) {
                Poll::Pending => return Gathered::All,
                Poll::Ready(None) => return Gathered::End(End::ByClient),
                Poll::Ready(Some(Ok(Delivery::Event(event)))) => {
                    let Wire { form, encode, .. } = *self.wire;
                    out.extend_from_slice(Event::encoded(&event, form, encode));
                    Ok(())
                }
                Poll::Ready(Some(item)) => (self.wire.put)(item, out),
            };
            if let Err(end) = put {
                return Gathered::End(end);
            }
            if out.len() >= WRITE {
                break;
            }
        }
        Gathered::Enough
    }

    fn begin_write(
        &mut self,
        cx: &mut Context<'_>,
        socket: &mut Socket,
        out: &[u8],
    ) -> Result<(), End> {
        let written = match Pin::new(&mut *socket).poll_write(cx, out) {
            Poll::Ready(written) => written.map_err(|error| End::of_error(&error))?,
            Poll::Pending => 0,
        };
        self.rest = Bytes::copy_from_slice(&out[written..]);
        self.idle.touch(Instant::now());
        match self.rest.is_empty() {
            true => self.flush(cx, socket),
            false => Ok(()),
        }
    }

    fn poll_write_rest(
        &mut self,
        cx: &mut Context<'_>,
        socket: &mut Socket,
    ) -> Poll<Result<(), End>> {
        while !self.rest.is_empty() {
            match ready!(Pin::new(&mut *socket).poll_write(cx, &self.rest)) {
                Ok(0) => return Poll::Ready(Err(End::ByClient)),
                Err(error) => return Poll::Ready(Err(End::of_error(&error))),
                Ok(written) => {
                    let _ = self.rest.split_to(written);
                    self.idle.took();
                }
            }
        }
        self.rest = Bytes::new();
        let waited = self.unflushed;
        self.flush(cx, socket)?;
        if self.unflushed {
            return Poll::Pending;
        }
        if waited {
            self.idle.took();
        }
        Poll::Ready(Ok(()))
    }

    /// What TLS has made of it leaves, or is waited for.
    fn flush(&mut self, cx: &mut Context<'_>, socket: &mut Socket) -> Result<(), End> {
        let flushed = Pin::new(socket).poll_flush(cx);
        self.unflushed = flushed.is_pending();
        match flushed {
            Poll::Ready(Err(error)) => Err(End::of_error(&error)),
            _ => Ok(()),
        }
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

/// The reader's socket, as a writer has it.
#[derive(Debug)]
struct SocketSink {
    /// None when the reader has left.
    stream: Option<Arc<TcpStream>>,
    wire: &'static Wire,
    /// What the socket has not taken: at most a burst, and shared with whoever
    /// is at the same place. Boxed, since there seldom is any.
    rest: Option<Box<Bytes>>,
}

impl EventSink for SocketSink {
    fn try_write(&mut self, batch: &EventBatch) -> bool {
        let Some(stream) = &self.stream else {
            return false;
        };
        let bytes = batch.bytes(self.wire.form, self.wire.encode);
        // Past the runtime, which need not know of a write that does not wait.
        // Of a broken socket the reader finds that out itself.
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        let written = rustix::net::send(stream, bytes, flags).unwrap_or(0);
        if written < bytes.len() {
            self.rest = Some(Box::new(bytes.slice(written..)));
        }
        written == bytes.len()
    }

    fn close(&mut self) {
        self.stream = None;
        self.rest = None;
    }
}
