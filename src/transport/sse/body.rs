//! A stream as a response body, if it shares its connection: on HTTP/2.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures_util::StreamExt;
use hyper::body::{Body, Frame};
use tokio::time::Instant;

use super::message::{SIGN_OF_LIFE, beginning};
use crate::{
    event::Event,
    hub::Delivery,
    transport::{
        access::{authorized::AuthorizedSubscription, expiry::expired},
        connection::keepalive::{Keepalive, KeepaliveAction},
        delivery::outbound::Wire,
        protocol::codes::Refusal,
    },
};

/// Bytes after which a chunk is sent, even if more deliveries are ready.
const CHUNK: usize = 64 << 10;

/// Response body of an event stream.
#[derive(Debug)]
pub(super) struct Chunks {
    subscription: AuthorizedSubscription,
    wire: &'static Wire,
    idle: Keepalive,
    phase: Phase,
    /// Whether the stream was not idle before the last chunk.
    busy: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Beginning,
    Open,
    Ended,
}

impl Body for Chunks {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = self.get_mut();
        let chunk = match this.phase {
            Phase::Beginning => {
                this.phase = Phase::Open;
                Some(beginning())
            }
            Phase::Open => ready!(this.poll_chunk(cx)),
            Phase::Ended => None,
        };
        Poll::Ready(chunk.map(|chunk| Ok(Frame::data(chunk))))
    }
}

impl Chunks {
    pub(super) fn new(
        subscription: AuthorizedSubscription,
        idle: Keepalive,
        wire: &'static Wire,
    ) -> Self {
        Self {
            subscription,
            wire,
            idle,
            phase: Phase::Beginning,
            busy: false,
        }
    }

    /// The deliveries that are ready, or a keepalive when it is due.
    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if self.busy && self.idle.is_over() && self.subscription.can_expire() {
            return Poll::Ready(Some(self.put(Err(expired()))));
        }
        let first = match self.subscription.poll_next_unpin(cx) {
            Poll::Ready(first) => first,
            Poll::Pending => {
                self.busy = false;
                let due = self.idle.poll_due_of(&self.subscription, cx);
                if ready!(due) == KeepaliveAction::Expired {
                    return Poll::Ready(Some(self.put(Err(expired()))));
                }
                return Poll::Ready(Some(SIGN_OF_LIFE));
            }
        };
        self.idle.touch(Instant::now());
        let Some(first) = first else {
            return Poll::Ready(None);
        };
        let first = self.encoded(first);
        let Some(second) = self.another(cx) else {
            return Poll::Ready(Some(first));
        };
        // Together, so that they leave in one write.
        let mut chunk = Vec::with_capacity(2 * first.len());
        chunk.extend_from_slice(&first);
        self.busy = true;
        let mut next = Some(second);
        while let Some(item) = next {
            chunk.extend_from_slice(&self.encoded(item));
            next = (chunk.len() < CHUNK).then(|| self.another(cx)).flatten();
        }
        Poll::Ready(Some(chunk.into()))
    }

    fn another(&mut self, cx: &mut Context<'_>) -> Option<Result<Delivery, Refusal>> {
        match (self.phase, self.subscription.poll_next_unpin(cx)) {
            (Phase::Open, Poll::Ready(item)) => item,
            _ => None,
        }
    }

    fn encoded(&mut self, item: Result<Delivery, Refusal>) -> Bytes {
        let Wire { form, encode, .. } = *self.wire;
        match item {
            Ok(Delivery::Event(event)) => Event::encoded(&event, form, encode).clone(),
            other => self.put(other),
        }
    }

    fn put(&mut self, item: Result<Delivery, Refusal>) -> Bytes {
        let mut chunk = Vec::new();
        if let Err(end) = (self.wire.put)(item, &mut chunk) {
            end.code().inspect(|code| self.subscription.refused(*code));
            self.phase = Phase::Ended;
        }
        chunk.into()
    }
}
