//! A request that must be there whole in time. A gRPC message is waited for
//! before anything is looked at, so a client could keep its place in there for
//! ever, and no limit of readers would count it.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{body::Bytes, http::Request};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::{Sleep, sleep};
use tonic::{Status, body::Body};

use super::codes::Refusal;

/// A body that ends with an error where it has not ended in time.
struct Punctual {
    body: Body,
    limit: Pin<Box<Sleep>>,
}

/// Of a service whose clients say all they have to say at once: some kilobytes at
/// most, the body of a publish, or names of channels.
pub(super) fn punctual(request: Request<Body>, limit: Duration) -> Request<Body> {
    request.map(|body| {
        let limit = Box::pin(sleep(limit));
        Body::new(Punctual { body, limit })
    })
}

impl HttpBody for Punctual {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) {
            return Poll::Ready(frame);
        }
        ready!(self.limit.as_mut().poll(cx));
        let refusal = Refusal::invalid("the message did not arrive in time");
        Poll::Ready(Some(Err(refusal.into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
