//! Messages of a gateway, in a form common to all transports.

use serde_json::Value;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    Ready {
        channels: Vec<String>,
        cursor: String,
    },
    Event {
        id: String,
        channel: String,
        payload: String,
    },
    Gap {
        id: String,
        reason: String,
    },
    Interrupted,
    Live {
        cursor: String,
    },
    /// Answer to a client's message, on WebSockets only.
    Answer(Value),
    /// The end: close code, HTTP or gRPC status, and the contract's code if it
    /// was named.
    Closed(i32, String),
}

impl Said {
    pub fn from_json(text: &str) -> Self {
        let object: Value = serde_json::from_str(text).unwrap();
        let field = |name: &str| {
            object[name]
                .as_str()
                .unwrap_or_else(|| panic!("{text}"))
                .to_owned()
        };
        match object["type"].as_str().unwrap() {
            "ready" => Self::Ready {
                channels: strings(&object["channels"]),
                cursor: field("cursor"),
            },
            "event" => {
                assert_is_rfc3339_micros(&field("received_at"));
                Self::Event {
                    id: field("id"),
                    channel: field("channel"),
                    payload: field("payload"),
                }
            }
            "gap" => Self::Gap {
                id: field("id"),
                reason: field("reason"),
            },
            "interrupted" => {
                assert_is_rfc3339_micros(&field("since"));
                Self::Interrupted
            }
            "live" => Self::Live {
                cursor: field("cursor"),
            },
            _ => Self::Answer(object),
        }
    }

    /// The cursor it stands for.
    pub fn cursor(&self) -> Option<&str> {
        match self {
            Self::Ready { cursor, .. } | Self::Live { cursor } => Some(cursor),
            Self::Event { id, .. } | Self::Gap { id, .. } => Some(id),
            _ => None,
        }
    }
}

fn strings(array: &Value) -> Vec<String> {
    let items = array.as_array().unwrap().iter();
    items
        .map(|item| item.as_str().unwrap().to_owned())
        .collect()
}

/// `2026-11-22T20:00:02.227492Z`
fn assert_is_rfc3339_micros(text: &str) {
    let shape: String = text
        .chars()
        .map(|c| if c.is_ascii_digit() { '0' } else { c })
        .collect();
    assert_eq!(shape, "0000-00-00T00:00:00.000000Z", "{text}");
}
