//! A request of gRPC that must be there whole in time, and small. tonic waits for
//! a message before anything is looked at, and reserves the length that it
//! announces.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{body::Bytes, http::Request};
use bytes::BytesMut;
use hyper::body::{Body as HttpBody, Frame};
use tokio::time::{Sleep, sleep};
use tonic::{Status, body::Body};

use super::pending_requests::Weight;
use crate::transport::protocol::codes::Refusal;

/// The largest message of a client, in bytes: the names of 128 channels have
/// 8 KiB, and so has a payload.
pub(in crate::transport) const MAX_MESSAGE: usize = 64 << 10;

/// What stands before a message: whether it is compressed, and its length
/// (<https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>).
pub(in crate::transport) const PREFIX: usize = 5;

/// When a service gets the parts of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::transport) enum Parts {
    /// When all are there: what is announced and does not come is not reserved.
    Together,
    /// Each when it comes, for a service that answers meanwhile.
    OneByOne,
}

/// A body that ends with an error where it has not ended in time, or where there
/// is no room for it.
struct BodyDeadline {
    body: Body,
    parts: Parts,
    limit: Pin<Box<Sleep>>,
    weight: Weight,
    read: BytesMut,
    has_ended: bool,
}

/// Of a service whose clients say all they have to say at once.
pub(in crate::transport) fn body_deadline(
    request: Request<Body>,
    limit: Duration,
    parts: Parts,
) -> Request<Body> {
    let weight = Weight::of(request.extensions());
    request.map(|body| {
        Body::new(BodyDeadline {
            body,
            parts,
            limit: Box::pin(sleep(limit)),
            weight,
            read: BytesMut::new(),
            has_ended: false,
        })
    })
}

type Part = Option<Result<Frame<Bytes>, Status>>;

impl BodyDeadline {
    /// None where more is waited for.
    fn part(&mut self, part: Part) -> Option<Part> {
        let frame = match part {
            Some(Ok(frame)) => frame,
            Some(Err(status)) => return Some(Some(Err(status))),
            None => {
                self.has_ended = true;
                return Some(self.all());
            }
        };
        let Ok(data) = frame.into_data() else {
            // Trailers: no service of ours reads any.
            return None;
        };
        if let Err(refusal) = self.weight.grow(data.len()) {
            return Some(Some(Err(refusal.into())));
        }
        if self.parts == Parts::OneByOne {
            return Some(Some(Ok(Frame::data(data))));
        }
        self.read.extend_from_slice(&data);
        // tonic refuses it by its prefix.
        is_too_large(&self.read).then(|| self.all())
    }

    fn all(&mut self) -> Part {
        let read = std::mem::take(&mut self.read).freeze();
        (!read.is_empty()).then(|| Ok(Frame::data(read)))
    }
}

fn is_too_large(read: &[u8]) -> bool {
    let announced = match *read {
        [_, a, b, c, d, ..] => u32::from_be_bytes([a, b, c, d]) as usize,
        _ => 0,
    };
    announced.max(read.len().saturating_sub(PREFIX)) > MAX_MESSAGE
}

impl HttpBody for BodyDeadline {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        if this.has_ended {
            return Poll::Ready(None);
        }
        while let Poll::Ready(part) = Pin::new(&mut this.body).poll_frame(cx) {
            if let Some(part) = this.part(part) {
                return Poll::Ready(part);
            }
        }
        ready!(this.limit.as_mut().poll(cx));
        let refusal = Refusal::invalid("the message did not arrive in time");
        Poll::Ready(Some(Err(refusal.into())))
    }

    fn is_end_stream(&self) -> bool {
        self.read.is_empty() && (self.has_ended || self.body.is_end_stream())
    }
}
