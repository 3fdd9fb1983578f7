//! Deadline and size limit for receiving a gRPC request body. tonic waits for a
//! whole message before it checks anything, and reserves the announced length.

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

/// The largest message of a client, in bytes: the names of 128 channels take 8 KiB,
/// and so does a payload.
pub(in crate::transport) const MAX_MESSAGE: usize = 64 << 10;

/// Bytes of the prefix of a message: a compression flag and the length
/// (<https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>).
pub(in crate::transport) const PREFIX: usize = 5;

/// When a service receives the parts of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::transport) enum Parts {
    /// When the body is complete: nothing is reserved for an announced length that
    /// never arrives.
    Together,
    /// As they arrive, for a service that responds in the meantime.
    OneByOne,
}

/// Request body that fails when the deadline passes or the memory for waiting
/// requests is used up.
struct BodyDeadline {
    body: Body,
    parts: Parts,
    limit: Pin<Box<Sleep>>,
    weight: Weight,
    read: BytesMut,
    has_ended: bool,
}

/// Applies the deadline to a request whose client sends its whole body at once.
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
    /// `None` if more parts have to arrive first.
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
            // Trailers: none of our services reads them.
            return None;
        };
        if let Err(refusal) = self.weight.grow(data.len()) {
            return Some(Some(Err(refusal.into())));
        }
        if self.parts == Parts::OneByOne {
            return Some(Some(Ok(Frame::data(data))));
        }
        self.read.extend_from_slice(&data);
        // tonic rejects it because of its prefix.
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
