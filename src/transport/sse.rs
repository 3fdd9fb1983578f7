//! Server-Sent Events: `GET /v1/sse`
//! (<https://html.spec.whatwg.org/multipage/server-sent-events.html>).

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll, ready},
};

use axum::{
    body::{Body, Bytes},
    extract::{RawQuery, State},
    response::Response,
};
use futures_util::StreamExt;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use hyper::body::{Body as HttpBody, Frame};

use super::{
    admission::{Admission, cursor},
    codes::Refusal,
    idle::Idle,
    json::{self, ServerMessage},
    query::{Format, StreamQuery},
};
use crate::{
    event::{Event, EventId, Form},
    hub::{Delivery, Ended, Subscription},
};

/// Bytes after which a chunk is sent, though more deliveries are there.
const CHUNK: usize = 64 << 10;

/// A browser comes back after 1 to 3 s: not all of them at once.
const RETRY_MS: std::ops::Range<u64> = 1000..3000;

/// The response begins at once, a browser gives up for good on any status but
/// 200; its `ready` waits.
pub(super) async fn sse(
    State(admission): State<Admission>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let query = StreamQuery::parse(query.as_deref())?;
    query.demand_channel()?;
    let last_event_id = headers.get("last-event-id").map(HeaderValue::as_bytes);
    let last_event_id = last_event_id.filter(|id| !id.is_empty());
    let handed_in = last_event_id.or(query.cursor.as_deref());
    let subscription =
        admission.subscribe(&query.channels, cursor(handed_in.unwrap_or_default()))?;
    let idle = Idle::new(admission.settings().keepalive);
    let mut response = Response::new(Body::new(Chunks {
        subscription,
        format: query.format,
        idle,
        phase: Phase::Beginning,
    }));
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-store"),
        (HeaderName::from_static("x-accel-buffering"), "no"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    Ok(response)
}

/// The body of the response.
struct Chunks {
    subscription: Subscription,
    format: Format,
    idle: Idle,
    phase: Phase,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Beginning,
    Open,
    Ended,
}

impl HttpBody for Chunks {
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
                Some(format!("retry: {}\n\n", fastrand::u64(RETRY_MS)).into())
            }
            Phase::Open => ready!(this.poll_chunk(cx)),
            Phase::Ended => None,
        };
        Poll::Ready(chunk.map(|chunk| Ok(Frame::data(chunk))))
    }
}

impl Chunks {
    /// What is there already, or a sign of life when that is due.
    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let first = match self.subscription.poll_next_unpin(cx) {
            Poll::Ready(first) => first,
            Poll::Pending => {
                ready!(self.idle.poll_due(cx));
                return Poll::Ready(Some(sign_of_life(self.subscription.cursor())));
            }
        };
        self.idle.touch();
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
        let mut next = Some(second);
        while let Some(item) = next {
            chunk.extend_from_slice(&self.encoded(item));
            next = (chunk.len() < CHUNK).then(|| self.another(cx)).flatten();
        }
        Poll::Ready(Some(chunk.into()))
    }

    fn another(&mut self, cx: &mut Context<'_>) -> Option<Result<Delivery, Ended>> {
        match (self.phase, self.subscription.poll_next_unpin(cx)) {
            (Phase::Open, Poll::Ready(item)) => item,
            _ => None,
        }
    }

    /// After an end nothing follows.
    fn encoded(&mut self, item: Result<Delivery, Ended>) -> Bytes {
        match item {
            Ok(Delivery::Event(event)) => encoded(&event, self.format),
            Ok(other) => message(&other, self.format),
            Err(ended) => {
                self.phase = Phase::Ended;
                end(&ended.into(), self.format)
            }
        }
    }
}

/// Once for all readers of this format.
fn encoded(event: &std::sync::Arc<Event>, format: Format) -> Bytes {
    let form = match format {
        Format::Json => Form::Sse,
        Format::Raw => Form::SseRaw,
    };
    let encode = || message(&Delivery::Event(event.clone()), format);
    event.encodings.get_or_encode(form, encode).clone()
}

/// An id without data moves the browser's Last-Event-ID and fires nothing.
fn sign_of_life(cursor: Option<EventId>) -> Bytes {
    match cursor {
        Some(cursor) => format!("id: {cursor}\n\n").into(),
        None => Bytes::from_static(b":\n\n"),
    }
}

fn message(delivery: &Delivery, format: Format) -> Bytes {
    let mut chunk = Vec::new();
    if let Some(id) = json::cursor(delivery) {
        chunk.extend(format!("id: {id}\n").bytes());
    }
    match (format, delivery) {
        (Format::Raw, Delivery::Event(event)) => write_lines(&mut chunk, &event.payload),
        (Format::Raw, other) => write_named(&mut chunk, name(other), &ServerMessage::from(other)),
        (Format::Json, any) => write_data(&mut chunk, &ServerMessage::from(any).encode()),
    }
    chunk.push(b'\n');
    // It is kept with the event, and what is kept is counted.
    chunk.shrink_to_fit();
    chunk.into()
}

/// Why the stream ends. Not named `error`: that is the name of the event a
/// browser fires by itself.
fn end(refusal: &Refusal, format: Format) -> Bytes {
    let mut chunk = Vec::new();
    let message = ServerMessage::error(refusal, None);
    match format {
        Format::Raw => write_named(&mut chunk, "end", &message),
        Format::Json => write_data(&mut chunk, &message.encode()),
    }
    chunk.push(b'\n');
    chunk.into()
}

fn name(delivery: &Delivery) -> &'static str {
    match delivery {
        Delivery::Ready { .. } => "ready",
        Delivery::Event(_) => "event",
        Delivery::Gap { .. } => "gap",
        Delivery::Interrupted { .. } => "interrupted",
        Delivery::Live { .. } => "live",
    }
}

fn write_named(chunk: &mut Vec<u8>, name: &str, message: &ServerMessage<'_>) {
    chunk.extend(format!("event: {name}\n").bytes());
    write_data(chunk, &message.encode());
}

/// CR, LF and CRLF all end a line, and each line has its own `data:`: a
/// payload can forge nothing.
fn write_lines(chunk: &mut Vec<u8>, payload: &str) {
    let unix = payload.replace("\r\n", "\n");
    unix.split(['\n', '\r'])
        .for_each(|line| write_data(chunk, line));
}

fn write_data(chunk: &mut Vec<u8>, line: &str) {
    chunk.extend_from_slice(b"data: ");
    chunk.extend_from_slice(line.as_bytes());
    chunk.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(payload: &str) -> String {
        let mut chunk = Vec::new();
        write_lines(&mut chunk, payload);
        String::from_utf8(chunk).unwrap()
    }

    #[test]
    fn a_payload_can_forge_nothing() {
        assert_eq!(lines(""), "data: \n");
        assert_eq!(
            lines("a\nb\r\nc\rd"),
            "data: a\ndata: b\ndata: c\ndata: d\n"
        );
        assert_eq!(
            lines("x\n\nevent: gap\ndata: {}"),
            "data: x\ndata: \ndata: event: gap\ndata: data: {}\n"
        );
        assert_eq!(lines("a\rid: 9\r"), "data: a\ndata: id: 9\ndata: \n");
        assert_eq!(lines("\n\r"), "data: \ndata: \ndata: \n");
    }
}
