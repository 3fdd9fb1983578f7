//! A reader that has an HTTP/2 stream to itself, without the layers that would
//! make a body of it: what is there leaves in one piece, and while it sleeps a
//! writer of the hub gives the stream what comes.

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
use tokio::time::{Instant, Sleep, sleep};
use tonic::Status;
use tracing::debug;

use super::{
    super::{
        codes::Code,
        http2::{Stall, give},
    },
    Deliveries, framed_event,
};
use crate::{
    event::Form,
    hub::{Burst, Outlet, Seat},
};

/// Bytes after which a write begins, though more deliveries are there.
const WRITE: usize = 64 << 10;

/// What a writer gives a stream between two looks at its window: h2 keeps it
/// where the client takes nothing.
const UNSEEN: usize = 32 << 10;

/// A stream that is given little is looked at this often while it is given
/// anything.
const LOOK: Duration = Duration::from_secs(1);

/// See the module.
pub(super) struct Reader {
    deliveries: Deliveries,
    seat: Arc<Seat<Line>>,
    /// What the stream has not taken yet: it stands before everything else.
    rest: Bytes,
    /// How it ends, once the rest is given.
    status: Option<Status>,
    /// How long the stream may take nothing.
    limit: Duration,
    /// Whether it is the whole connection that takes nothing.
    stall: Stall,
    stalled: Option<Pin<Box<Sleep>>>,
}

/// The stream, as a writer has it.
#[derive(Debug)]
pub(super) struct Line {
    stream: SendStream<Bytes>,
    rest: Bytes,
    is_closed: bool,
    /// When there was room for all that had been given.
    seen: Instant,
    /// Bytes given since.
    unseen: usize,
}

/// Why nothing more is said.
enum End {
    Told(Status),
    /// It takes nothing.
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
        let seat = Arc::new(Seat::new(Line {
            stream,
            rest: Bytes::new(),
            is_closed: false,
            seen: Instant::now(),
            unseen: 0,
        }));
        deliveries.subscription.sit(seat.clone());
        Self {
            deliveries,
            seat,
            rest: Bytes::new(),
            status: None,
            limit,
            stall,
            stalled: None,
        }
    }

    /// Boxed, so that the task that waits is small.
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
        let seat = Arc::clone(&self.seat);
        drop(self);
        seat.with_outlet(|line| match end {
            End::Told(status) => line.end(&status),
            End::Stalled => {
                debug!("a stream takes nothing: reset");
                line.stream.send_reset(Reason::CANCEL);
            }
            End::Gone => {}
        });
    }

    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        self.deliveries.subscription.rise();
        let rest = self.seat.with_outlet(|line| std::mem::take(&mut line.rest));
        if !rest.is_empty() {
            self.rest = rest;
        }
        let reset = self.seat.with_outlet(|line| line.stream.poll_reset(cx));
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
                self.deliveries.subscription.serve();
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
            let rest = &mut self.rest;
            let given = self
                .seat
                .with_outlet(|line| give(rest, &mut line.stream, cx));
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
        self.seat.with_outlet(|line| line.saw_room(Instant::now()));
        Poll::Ready(Ok(()))
    }
}

impl Line {
    /// Whether the client's window has room for all that was given, and more.
    fn has_room(&mut self, now: Instant) -> bool {
        self.stream.reserve_capacity(1);
        let has_room = self.stream.capacity() > 0;
        // Held back, it would be missed by the connection's other streams.
        self.stream.reserve_capacity(0);
        if has_room {
            self.saw_room(now);
        }
        has_room
    }

    fn saw_room(&mut self, now: Instant) {
        self.unseen = 0;
        self.seen = now;
    }

    fn end(&mut self, status: &Status) {
        let mut trailers = HeaderMap::new();
        if let Err(error) = status.add_header(&mut trailers) {
            debug!(%error, "a status cannot be sent");
        }
        // Of a stream that is gone nobody hears.
        let _ = self.stream.send_trailers(trailers);
    }
}

impl Outlet for Line {
    /// Given without a look at the window, which would wake the reader each
    /// time (h2 tells of room through the same waker as of a reset).
    fn put(&mut self, burst: &Burst) -> bool {
        if self.is_closed {
            return false;
        }
        let bytes = burst.bytes(Form::Grpc, framed_event);
        let is_due = self.unseen + bytes.len() > UNSEEN || burst.at() - self.seen >= LOOK;
        let may_give = !is_due || self.has_room(burst.at());
        if may_give && self.stream.send_data(bytes.clone(), false).is_ok() {
            self.unseen += bytes.len();
            return true;
        }
        // Where the stream is gone, the reader finds that out with it.
        self.rest = bytes.clone();
        false
    }

    fn close(&mut self) {
        self.is_closed = true;
        self.rest = Bytes::new();
    }
}
