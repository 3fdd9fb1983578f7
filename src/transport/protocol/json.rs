//! The JSON objects of WebSocket and SSE, in both directions.

use std::time::SystemTime;

use humantime::{format_rfc3339_micros, format_rfc3339_seconds};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::codes::Refusal;
use crate::{
    auth::Grant,
    event::{ChannelName, EventId},
    hub::Delivery,
};

/// Message of the gateway to a client.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub(in crate::transport) enum ServerMessage<'a> {
    Ready {
        channels: Vec<&'a str>,
        cursor: String,
    },
    Event {
        id: String,
        channel: &'a str,
        payload: &'a str,
        received_at: String,
    },
    Gap {
        id: String,
        reason: &'static str,
    },
    Interrupted {
        since: String,
    },
    Live {
        cursor: String,
    },
    Unsubscribed {
        channels: Vec<&'a str>,
    },
    Authenticated {
        /// Absent if the token does not expire.
        #[serde(skip_serializing_if = "Option::is_none")]
        expires_at: Option<String>,
    },
    Published {
        #[serde(rename = "ref")]
        reference: Option<&'a str>,
    },
    Error {
        code: &'static str,
        message: &'a str,
        #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
        reference: Option<&'a str>,
    },
}

/// Message of a WebSocket client. An unknown field is refused: a mistyped
/// `cursor` would be a silent loss. It may hold a token, so it has no `Debug`.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "lowercase", deny_unknown_fields)]
pub(in crate::transport) enum ClientMessage {
    Subscribe {
        channels: Vec<String>,
        /// Any value is accepted: an invalid cursor is answered by a gap.
        #[serde(default)]
        cursor: Value,
    },
    Unsubscribe {
        channels: Vec<String>,
    },
    Auth {
        token: String,
    },
    Publish {
        channel: String,
        payload: String,
        #[serde(default, rename = "ref")]
        reference: Option<String>,
    },
}

impl<'a> From<&'a Delivery> for ServerMessage<'a> {
    fn from(delivery: &'a Delivery) -> Self {
        match delivery {
            Delivery::Ready { channels, cursor } => Self::Ready {
                channels: names(channels),
                cursor: cursor.to_string(),
            },
            Delivery::Event(event) => Self::Event {
                id: event.id.to_string(),
                channel: event.channel.as_str(),
                payload: &event.payload,
                received_at: timestamp(event.received_at),
            },
            Delivery::Gap { id, reason } => Self::Gap {
                id: id.to_string(),
                reason: reason.as_str(),
            },
            Delivery::Interrupted { since } => Self::Interrupted {
                since: timestamp(*since),
            },
            Delivery::Live { cursor } => Self::Live {
                cursor: cursor.to_string(),
            },
        }
    }
}

impl<'a> ServerMessage<'a> {
    pub(in crate::transport) fn unsubscribed(channels: &'a [ChannelName]) -> Self {
        Self::Unsubscribed {
            channels: names(channels),
        }
    }

    pub(in crate::transport) fn authenticated(grant: &Grant) -> Self {
        let expires_at = grant.expires();
        Self::Authenticated {
            expires_at: expires_at.map(|at| format_rfc3339_seconds(at).to_string()),
        }
    }

    pub(in crate::transport) fn error(refusal: &'a Refusal, reference: Option<&'a str>) -> Self {
        Self::Error {
            code: refusal.code.as_str(),
            message: &refusal.message,
            reference,
        }
    }

    /// JSON without line breaks: serde_json escapes those in texts.
    pub(in crate::transport) fn encode(&self) -> String {
        let mut json = Vec::with_capacity(self.likely_bytes());
        // Strings and enums with named fields, in UTF-8: cannot fail.
        let _ = serde_json::to_writer(&mut json, self);
        String::from_utf8(json).unwrap_or_default()
    }

    /// Estimated size. It suffices for an event unless much of its payload has
    /// to be escaped; then the buffer grows.
    fn likely_bytes(&self) -> usize {
        match self {
            Self::Event { payload, .. } => 256 + payload.len() + payload.len() / 4,
            _ => 128,
        }
    }
}

/// Cursor of a delivery, if it has one.
pub(in crate::transport) fn cursor(delivery: &Delivery) -> Option<EventId> {
    match delivery {
        Delivery::Ready { cursor, .. } | Delivery::Live { cursor } => Some(*cursor),
        Delivery::Event(event) => Some(event.id),
        Delivery::Gap { id, .. } => Some(*id),
        Delivery::Interrupted { .. } => None,
    }
}

fn names(channels: &[ChannelName]) -> Vec<&str> {
    channels.iter().map(ChannelName::as_str).collect()
}

/// RFC 3339, UTC, microseconds.
pub(in crate::transport) fn timestamp(time: SystemTime) -> String {
    format_rfc3339_micros(time).to_string()
}
