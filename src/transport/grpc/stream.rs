//! A reader that has an HTTP/2 stream to itself, without the layers of a response
//! body: ready deliveries are sent in one piece, and while it is idle a worker of
//! the hub writes to the stream directly.

use std::{
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use h2::{Reason, SendStream};
use http::HeaderMap;
use tokio::time::{Instant, Sleep, sleep, timeout};
use tonic::Status;
use tracing::debug;

use super::{Deliveries, cuts::Cuts, framed_event};
use crate::{
    event::Form,
    hub::{DirectSlot, EventBatch, EventSink},
    transport::{
        access::limits::ReaderPermit,
        connection::http2::Stall,
        protocol::codes::{Code, Refusal},
    },
};

/// Bytes after which a write begins, even if more deliveries are ready.
const WRITE: usize = 64 << 10;

/// Maximum bytes that a worker writes to a stream between two checks of its window.
const UNSEEN: usize = 32 << 10;

/// Interval of the window checks of a stream with little traffic, made with its
/// writes: the connection's window is shared with other streams, and h2 buffers
/// data that does not fit.
const LOOK: Duration = Duration::from_secs(1);

/// How long the status of a stalled stream may wait for the connection's window;
/// then the stream is reset, which frees the data that h2 buffers for it.
const STATUS_TIMEOUT: Duration = Duration::from_secs(5);

/// A reader's stream and its direct-write slot.
pub(super) struct Reader {
    deliveries: Deliveries,
    slot: Arc<DirectSlot<StreamSink>>,
    /// Bytes that the stream has not accepted yet; they are sent before everything
    /// else.
    rest: Bytes,
    cuts: Cuts,
    /// The final status, sent after `rest`.
    status: Option<Status>,
    /// How long the stream's window may stay shut.
    limit: Duration,
    /// Whether the whole connection has stalled.
    stall: Stall,
    stalled: Option<Pin<Box<Sleep>>>,
}

/// The stream, as a worker of the hub writes to it.
#[derive(Debug)]
pub(super) struct StreamSink {
    stream: SendStream<Bytes>,
    rest: Bytes,
    is_closed: bool,
    /// Time of the last check of the window.
    seen: Instant,
    /// The room at that check, less the bytes sent since.
    room: usize,
}

/// Reason of the end.
enum End {
    Told(Status),
    /// The window stayed shut for the limit.
    Stalled,
    Gone,
}

impl Reader {
    pub(super) fn new(
        stream: SendStream<Bytes>,
        mut deliveries: Deliveries,
        limit: Duration,
        stall: Stall,
    ) -> Self {
        let slot = Arc::new(DirectSlot::new(StreamSink {
            stream,
            rest: Bytes::new(),
            is_closed: false,
            seen: Instant::now(),
            room: 0,
        }));
        deliveries.subscription.attach(slot.clone());
        Self {
            deliveries,
            slot,
            rest: Bytes::new(),
            cuts: Cuts::default(),
            status: None,
            limit,
            stall,
            stalled: None,
        }
    }

    /// Boxed, so that the idle task is small.
    pub(super) async fn run(mut self: Box<Self>) {
        let end = poll_fn(|cx| self.poll_end(cx)).await;
        let is_slow = match end {
            End::Told(_) => false,
            End::Stalled => true,
            End::Gone => self.stall.is_noted(),
        };
        if is_slow {
            self.deliveries.subscription.refused(Code::WriteTimeout);
        }
        let is_whole = self.cuts.is_whole();
        let slot = Arc::clone(&self.slot);
        let presence = self.deliveries.subscription.leave();
        match end {
            End::Told(status) => slot.with_sink(|line| line.end(&status)),
            End::Stalled if is_whole => Box::pin(farewell(&slot, presence)).await,
            End::Stalled => {
                debug!("a stream takes nothing: reset");
                slot.with_sink(|line| line.stream.send_reset(Reason::CANCEL));
            }
            End::Gone => {}
        }
    }

    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        self.deliveries.subscription.reclaim();
        let rest = self.slot.with_sink(|line| std::mem::take(&mut line.rest));
        if !rest.is_empty() {
            self.rest = rest;
        }
        let reset = self.slot.with_sink(|line| line.stream.poll_reset(cx));
        if reset.is_ready() {
            return Poll::Ready(End::Gone);
        }
        loop {
            if let Err(end) = ready!(self.poll_give(cx)) {
                return Poll::Ready(end);
            }
            if let Some(status) = self.status.take() {
                return Poll::Ready(End::Told(status));
            }
            self.rest = self.gather(cx);
            if self.rest.is_empty() && self.status.is_none() {
                self.deliveries.subscription.arm();
                return Poll::Pending;
            }
        }
    }

    fn gather(&mut self, cx: &mut Context<'_>) -> Bytes {
        let mut gathered = BytesMut::new();
        while gathered.len() < WRITE
            && let Poll::Ready(item) = self.deliveries.poll_next_unpin(cx)
        {
            match item {
                Some(Ok(message)) => gathered.extend_from_slice(message.framed()),
                Some(Err(status)) => self.status = Some(status),
                None => self.status = Some(Status::ok("")),
            }
            if self.status.is_some() {
                break;
            }
        }
        gathered.freeze()
    }

    fn poll_give(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), End>> {
        if self.rest.is_empty() {
            return Poll::Ready(Ok(()));
        }
        while !self.rest.is_empty() {
            let (rest, cuts) = (&mut self.rest, &mut self.cuts);
            let given = self.slot.with_sink(|line| line.poll_give(rest, cuts, cx));
            match given {
                Poll::Ready(Ok(())) => self.stalled = None,
                Poll::Ready(Err(_)) => return Poll::Ready(Err(End::Gone)),
                Poll::Pending => {
                    let limit = self.limit;
                    let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(limit)));
                    ready!(stalled.as_mut().poll(cx));
                    return Poll::Ready(Err(End::Stalled));
                }
            }
        }
        self.rest = Bytes::new();
        let room = self.slot.with_sink(|line| line.look(0, Instant::now()));
        self.cuts.saw(room);
        Poll::Ready(Ok(()))
    }
}

/// Ends a stalled stream that is at the end of a message with a status. The
/// reader's permit is held until then, so that the number of such streams is
/// bounded.
async fn farewell(slot: &DirectSlot<StreamSink>, _held: ReaderPermit) {
    debug!("a stream takes nothing: ended");
    let rule = "the client has taken nothing within --write-timeout";
    let status = Refusal::new(Code::WriteTimeout, rule).into();
    slot.with_sink(|line| line.end(&status));
    let gone = poll_fn(|cx| slot.with_sink(|line| line.stream.poll_reset(cx)));
    // The stream ends in both cases.
    let _ = timeout(STATUS_TIMEOUT, gone).await;
    // Does nothing if the status has been sent.
    slot.with_sink(|line| line.stream.send_reset(Reason::CANCEL));
}

impl StreamSink {
    /// Sends a part of `rest`.
    fn poll_give(
        &mut self,
        rest: &mut Bytes,
        cuts: &mut Cuts,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), h2::Error>> {
        self.stream.reserve_capacity(rest.len());
        loop {
            let part = cuts.part(rest, self.stream.capacity());
            if part > 0 {
                return Poll::Ready(self.stream.send_data(rest.split_to(part), false));
            }
            match ready!(self.stream.poll_capacity(cx)) {
                Some(room) => room?,
                None => return Poll::Ready(Err(Reason::STREAM_CLOSED.into())),
            };
        }
    }

    /// Sets `room` to what the windows of stream and connection have room for: up
    /// to `UNSEEN` bytes, or to `needed` if that is more.
    fn look(&mut self, needed: usize, now: Instant) -> usize {
        self.stream.reserve_capacity(needed.max(UNSEEN));
        self.room = self.stream.capacity();
        self.seen = now;
        // Reserved capacity would be missing for the connection's other streams.
        self.stream.reserve_capacity(0);
        self.room
    }

    fn end(&mut self, status: &Status) {
        let mut trailers = HeaderMap::new();
        if let Err(error) = status.add_header(&mut trailers) {
            debug!(%error, "a status cannot be sent");
        }
        // Fails only if the stream is gone.
        let _ = self.stream.send_trailers(trailers);
    }
}

impl EventSink for StreamSink {
    /// Writes without checking the window each time, which would wake the reader
    /// (h2 uses one waker for capacity and for resets).
    fn try_write(&mut self, batch: &EventBatch) -> bool {
        if self.is_closed {
            return false;
        }
        let bytes = batch.bytes(Form::Grpc, framed_event);
        if bytes.len() > self.room || batch.at() - self.seen >= LOOK {
            self.look(bytes.len(), batch.at());
        }
        if bytes.len() <= self.room && self.stream.send_data(bytes.clone(), false).is_ok() {
            self.room -= bytes.len();
            return true;
        }
        // If the stream is gone, the reader notices when it sends this.
        self.rest = bytes.clone();
        false
    }

    fn close(&mut self) {
        self.is_closed = true;
        self.rest = Bytes::new();
    }
}
