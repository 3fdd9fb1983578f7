//! Output of a reader that has its own socket. A `FanoutWorker` of the hub writes
//! new events while nothing else is to be sent; the reader's task writes everything
//! else.

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

/// Maximum number of deliveries in one write: between two writes a connection reads
/// from its client, however busy it is.
const DELIVERIES: usize = 512;

/// Bytes after which a write begins, even if more deliveries are ready.
const WRITE: usize = 64 << 10;

thread_local! {
    /// Buffer of the next write. It is empty between two polls, so one for each
    /// thread is enough.
    static OUT: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// A delivery, or the reason why nothing follows.
pub(super) type Item = Result<Delivery, Refusal>;

/// Encoding of deliveries on a transport.
#[derive(Debug)]
pub(in crate::transport) struct Wire {
    pub(in crate::transport) form: Form,
    /// Encodes an event, once for all readers of this form.
    pub(in crate::transport) encode: fn(&Arc<Event>) -> Bytes,
    /// Appends anything else; an error ends the stream after the bytes appended so
    /// far.
    pub(in crate::transport) put: fn(Item, &mut Vec<u8>) -> Result<(), End>,
}

/// Output of a reader, and its direct-write slot.
#[derive(Debug)]
pub(in crate::transport) struct Outbound {
    pub(in crate::transport) subscription: AuthorizedSubscription,
    pub(in crate::transport) idle: Keepalive,
    wire: &'static Wire,
    /// `None` over TLS: the reader is then woken for each delivery.
    slot: Option<Arc<DirectSlot<SocketSink>>>,
    /// Bytes that the socket has not accepted yet; they are sent before everything
    /// else.
    rest: Bytes,
    /// The socket accepted everything, but has not sent all of it yet.
    unflushed: bool,
    /// Reason of the end, which follows once `rest` is written.
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

    /// Takes the socket back for this task, until it waits for deliveries again.
    /// Has to be called before anything is written by other means.
    pub(in crate::transport) fn reclaim(&mut self) {
        let Some(slot) = &self.slot else {
            return;
        };
        self.subscription.reclaim();
        if let Some(rest) = slot.with_sink(|line| line.rest.take()) {
            self.rest = *rest;
        }
    }

    /// Whether a write is in progress: nothing else may be written until the socket
    /// has accepted it.
    pub(in crate::transport) fn is_writing(&self) -> bool {
        !self.rest.is_empty() || self.unflushed
    }

    /// Ready when a keepalive is due, the client is gone or its token has expired.
    pub(in crate::transport) fn poll_due(&mut self, cx: &mut Context<'_>) -> Poll<KeepaliveAction> {
        self.idle.poll_due_of(&self.subscription, cx)
    }

    /// Queues bytes to be written before the deliveries.
    pub(in crate::transport) fn say(&mut self, bytes: Bytes) {
        self.rest = bytes;
    }

    /// Ends the stream with a refusal. May only be called while no write is in
    /// progress.
    pub(in crate::transport) fn refuse(&mut self, refusal: Refusal) {
        let mut out = Vec::new();
        self.end = (self.wire.put)(Err(refusal), &mut out).err();
        self.rest = out.into();
    }

    /// Writes deliveries to `socket`, many in one write. Pending if no more are
    /// ready or the socket accepts no more; ready after a full batch, so that the
    /// client is read from, and at the end.
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

    /// Flushes the records of TLS, or notes that they are not sent yet.
    fn flush(&mut self, cx: &mut Context<'_>, socket: &mut Socket) -> Result<(), End> {
        let flushed = Pin::new(socket).poll_flush(cx);
        self.unflushed = flushed.is_pending();
        match flushed {
            Poll::Ready(Err(error)) => Err(End::of_error(&error)),
            _ => Ok(()),
        }
    }
}

/// Result of `gather`.
enum Gathered {
    /// No more deliveries now; the task will be woken.
    All,
    /// Enough for one write.
    Enough,
    /// The stream ends.
    End(End),
}

/// The reader's socket, as a worker of the hub writes to it.
#[derive(Debug)]
struct SocketSink {
    /// `None` when the reader has left.
    stream: Option<Arc<TcpStream>>,
    wire: &'static Wire,
    /// Bytes that the socket has not accepted: at most one batch, shared with all
    /// readers at the same position. Boxed, since it is rarely set.
    rest: Option<Box<Bytes>>,
}

impl EventSink for SocketSink {
    fn try_write(&mut self, batch: &EventBatch) -> bool {
        let Some(stream) = &self.stream else {
            return false;
        };
        let bytes = batch.bytes(self.wire.form, self.wire.encode);
        // Bypasses the runtime, which need not know of a write that does not wait.
        // The reader itself notices a broken socket.
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
