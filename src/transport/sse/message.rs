//! The encoding of messages
//! (<https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream>).

use std::sync::Arc;

use bytes::Bytes;

use crate::{
    event::{Event, Form},
    hub::Delivery,
    transport::{
        delivery::{end::End, outbound::Wire},
        protocol::{
            codes::Refusal,
            json::{self, ServerMessage},
            query::Format,
        },
    },
};

impl Format {
    pub(super) fn wire(self) -> &'static Wire {
        match self {
            Self::Json => &JSON,
            Self::Raw => &RAW,
        }
    }
}

const JSON: Wire = Wire {
    form: Form::Sse,
    encode: |event| event_message(event, Format::Json),
    put: |item, out| put(item, Format::Json, out),
};

const RAW: Wire = Wire {
    form: Form::SseRaw,
    encode: |event| event_message(event, Format::Raw),
    put: |item, out| put(item, Format::Raw, out),
};

fn event_message(event: &Arc<Event>, format: Format) -> Bytes {
    message(&Delivery::Event(event.clone()), format)
}

/// An error is the last message.
fn put(item: Result<Delivery, Refusal>, format: Format, out: &mut Vec<u8>) -> Result<(), End> {
    match item {
        Ok(delivery) => {
            out.extend_from_slice(&message(&delivery, format));
            Ok(())
        }
        Err(refusal) => {
            out.extend_from_slice(&end(&refusal, format));
            Err(End::Refused(refusal))
        }
    }
}

/// A browser reconnects after 1 to 3 s, so that not all of them return at once.
const RETRY_MS: std::ops::Range<u64> = 1000..3000;

/// The first line of the first message. No blank line follows: widely used
/// libraries such as `@microsoft/fetch-event-source` and `httpx-sse` make an empty
/// message of a block without `data:`.
pub(super) fn beginning() -> Bytes {
    format!("retry: {}\n", fastrand::u64(RETRY_MS)).into()
}

/// Keepalive: a comment line, without a blank line after it for the same reason.
pub(super) const SIGN_OF_LIFE: Bytes = Bytes::from_static(b":\n");

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
    // It is kept with the event, and its capacity is counted.
    chunk.shrink_to_fit();
    chunk.into()
}

/// The last message. It is not named `error`: that is the name of an event that
/// browsers fire by themselves.
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

/// CR, LF and CRLF all end a line, and each line gets its own `data:`, so that a
/// payload cannot forge fields.
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
