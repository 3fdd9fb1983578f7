//! Server-Sent Events: `GET /v1/sse`
//! (<https://html.spec.whatwg.org/multipage/server-sent-events.html>).

use async_stream::stream;
use axum::{
    body::{Body, Bytes},
    extract::{RawQuery, State},
    response::Response,
};
use futures_util::{FutureExt, StreamExt};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use tokio::select;
use tokio_stream::Stream;

use super::{
    admission::{Admission, cursor},
    codes::Refusal,
    idle::Idle,
    json::{self, ServerMessage},
    query::{Format, StreamQuery},
};
use crate::{
    event::EventId,
    hub::{Delivery, Subscription},
};

/// Bytes after which a chunk is sent, though more deliveries are there.
const CHUNK: usize = 32 << 10;

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
    let mut response = Response::new(Body::from_stream(chunks(subscription, query.format, idle)));
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

fn chunks(
    mut subscription: Subscription,
    format: Format,
    mut idle: Idle,
) -> impl Stream<Item = Result<Bytes, std::convert::Infallible>> {
    stream! {
        yield Ok(format!("retry: {}\n\n", fastrand::u64(RETRY_MS)).into());
        loop {
            let mut chunk = Vec::new();
            let going_on = select! {
                delivery = subscription.next() => {
                    fill(&mut chunk, delivery, &mut subscription, format)
                }
                _ = idle.due() => {
                    sign_of_life(&mut chunk, subscription.cursor());
                    true
                }
            };
            idle.touch();
            if !chunk.is_empty() {
                yield Ok(chunk.into());
            }
            if !going_on {
                break;
            }
        }
    }
}

/// Writes `next` and what else is there already. Returns whether the stream
/// goes on.
fn fill(
    chunk: &mut Vec<u8>,
    mut next: Option<<Subscription as Stream>::Item>,
    subscription: &mut Subscription,
    format: Format,
) -> bool {
    loop {
        match next {
            Some(Ok(delivery)) => write(chunk, &delivery, format),
            Some(Err(ended)) => write_end(chunk, &ended.into(), format),
            None => return false,
        }
        if chunk.len() >= CHUNK {
            return true;
        }
        match subscription.next().now_or_never() {
            Some(more) => next = more,
            None => return true,
        }
    }
}

/// An id without data moves the browser's Last-Event-ID and fires nothing.
fn sign_of_life(chunk: &mut Vec<u8>, cursor: Option<EventId>) {
    match cursor {
        Some(cursor) => write_id(chunk, Some(cursor)),
        None => chunk.push(b':'),
    }
    chunk.extend(if cursor.is_some() { "\n" } else { "\n\n" }.bytes());
}

fn write(chunk: &mut Vec<u8>, delivery: &Delivery, format: Format) {
    write_id(chunk, json::cursor(delivery));
    match (format, delivery) {
        (Format::Raw, Delivery::Event(event)) => write_lines(chunk, &event.payload),
        (Format::Raw, other) => write_named(chunk, name(other), &ServerMessage::from(other)),
        (Format::Json, any) => write_data(chunk, &ServerMessage::from(any).encode()),
    }
    chunk.push(b'\n');
}

/// Why the stream ends. Not named `error`: that is the name of the event a
/// browser fires by itself.
fn write_end(chunk: &mut Vec<u8>, refusal: &Refusal, format: Format) {
    let message = ServerMessage::error(refusal, None);
    match format {
        Format::Raw => write_named(chunk, "end", &message),
        Format::Json => write_data(chunk, &message.encode()),
    }
    chunk.push(b'\n');
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

fn write_id(chunk: &mut Vec<u8>, id: Option<EventId>) {
    if let Some(id) = id {
        chunk.extend(format!("id: {id}\n").bytes());
    }
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
