//! Fuzz targets for the parsers of client input. See `crate::fuzz`.

use std::fmt::Debug;

use percent_encoding::{NON_ALPHANUMERIC, PercentEncode, percent_encode};
use prost::Message;
use serde_json::Value;

use super::protocol::{
    codes::{Code, Refusal},
    cursor,
    json::ClientMessage,
    query::{Format, StreamQuery, last_segment},
};
use crate::{hub::Cursor, proto};

/// A text frame on `/v1/ws`: the parsed message has the values that a generic
/// JSON parser finds.
pub(crate) fn client_message(bytes: &[u8]) {
    let Ok(message) = serde_json::from_slice(bytes) else {
        return;
    };
    let object: Value = serde_json::from_slice(bytes).expect("it is JSON");
    match message {
        ClientMessage::Subscribe { channels, cursor } => {
            assert_eq!(object["type"], "subscribe");
            assert_eq!(object["channels"], Value::from(channels));
            assert_eq!(object["cursor"], cursor);
        }
        ClientMessage::Unsubscribe { channels } => {
            assert_eq!(object["type"], "unsubscribe");
            assert_eq!(object["channels"], Value::from(channels));
        }
        ClientMessage::Auth { token } => {
            assert_eq!(object["type"], "auth");
            assert_eq!(object["token"], token);
        }
        ClientMessage::Publish {
            channel,
            payload,
            reference,
        } => {
            assert_eq!(object["type"], "publish");
            assert_eq!(object["channel"], channel);
            assert_eq!(object["payload"], payload);
            assert_eq!(object["ref"], reference.map_or(Value::Null, Value::from));
        }
    }
}

/// The query of a URL: the parsed parameters survive a round trip.
pub(crate) fn query(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let parsed = match StreamQuery::parse(Some(text)) {
        Ok(parsed) => parsed,
        Err(refusal) => return names_the_mistake(&refusal, text),
    };
    let channels = parsed.channels.iter();
    let channels = channels.map(|name| format!("channel={}", escape(name.as_bytes())));
    let cursor = parsed.cursor.iter();
    let cursor = cursor.map(|cursor| format!("cursor={}", escape(cursor)));
    let ids = parsed.last_event_ids.iter();
    let ids = ids.map(|id| format!("lastEventId={}", escape(id)));
    let ticket = parsed.ticket.iter();
    let ticket = ticket.map(|ticket| format!("ticket={}", escape(ticket.as_bytes())));
    let format = (parsed.format == Format::Raw).then(|| "format=raw".to_owned());
    let written = channels
        .chain(cursor)
        .chain(ids)
        .chain(ticket)
        .chain(format);
    let written: Vec<_> = written.collect();
    assert_eq!(StreamQuery::parse(Some(&written.join("&"))), Ok(parsed));
}

/// The channel at the end of a path.
pub(crate) fn path(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    match last_segment(text) {
        Ok(name) => {
            let path = format!("/v1/channels/{}", escape(name.as_bytes()));
            assert_eq!(last_segment(&path), Ok(name));
        }
        Err(refusal) => names_the_mistake(&refusal, text),
    }
}

/// A cursor: accepted as an id only in the form in which the gateway writes it.
pub(crate) fn cursor(bytes: &[u8]) {
    match cursor::cursor(bytes) {
        None => assert_eq!(bytes, b""),
        Some(Cursor::At(id)) => {
            assert_eq!(id.to_string().as_bytes(), bytes);
            assert!(bytes.len() <= 64);
        }
        Some(Cursor::Invalid) => assert_ne!(bytes, b""),
    }
}

/// The messages of gRPC clients.
pub(crate) fn grpc(bytes: &[u8]) {
    is_kept(bytes, |request: &proto::SubscribeRequest| {
        let names = request.channels.iter().map(String::len);
        names.sum::<usize>() + request.channels.len() + request.cursor.len()
    });
    is_kept(bytes, |request: &proto::PublishRequest| {
        request.channel.len() + request.payload.len()
    });
}

/// The decoded message is not larger than the input, and survives a round trip.
fn is_kept<M: Message + Default + PartialEq + Debug>(bytes: &[u8], size: impl Fn(&M) -> usize) {
    let Ok(message) = M::decode(bytes) else {
        return;
    };
    assert!(size(&message) <= bytes.len(), "{message:?}");
    let again = M::decode(message.encode_to_vec().as_slice());
    assert_eq!(again, Ok(message));
}

fn escape(bytes: &[u8]) -> PercentEncode<'_> {
    percent_encode(bytes, NON_ALPHANUMERIC)
}

/// The message is not much longer than the input: Rust writes a control
/// character as `\u{1f}`.
fn names_the_mistake(refusal: &Refusal, text: &str) {
    assert_eq!(refusal.code, Code::InvalidRequest);
    assert!(refusal.message.len() <= 100 + 6 * text.len(), "{refusal}");
}
