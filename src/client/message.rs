//! Messages of a reader: the objects of the WebSocket and SSE APIs, which are also
//! the lines of `pgfan listen --json`.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::ended::Ended;

/// One message of the contract.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Message {
    /// Start of the subscription: from here on nothing may be missing.
    Ready {
        /// The requested channels.
        channels: Vec<String>,
        /// Cursor to resume from here.
        cursor: String,
    },
    /// One notification.
    Event {
        /// Cursor to resume after this event.
        id: String,
        /// The channel of the NOTIFY.
        channel: String,
        /// The exact payload.
        payload: String,
        /// Time of the gateway's clock, RFC 3339.
        received_at: String,
    },
    /// Something may be missing here.
    Gap {
        /// Cursor to resume after the gap.
        id: String,
        /// Reason of the gap.
        reason: String,
    },
    /// No messages until `live`, or until `ready` if the connection was lost.
    Interrupted {
        /// RFC 3339.
        since: String,
        /// Set if the connection was lost, and not the database: the reader adds
        /// this message itself.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        code: Option<String>,
        /// Text for people.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        message: Option<String>,
    },
    /// The source works again.
    Live {
        /// Cursor to resume from here.
        cursor: String,
    },
    /// On WebSocket: no more messages of these channels.
    Unsubscribed {
        /// The channels that were left or withdrawn.
        channels: Vec<String>,
    },
    /// A message of a newer gateway: best treated as a gap.
    #[serde(untagged)]
    Unknown(Value),
}

impl Message {
    /// Parses one object of WebSocket or SSE. An error object is the end of the
    /// stream.
    pub(super) fn parse(text: &str) -> Result<Self, Ended> {
        let message = serde_json::from_str(text);
        let message = message.map_err(|_| Ended::disconnected("what came is no JSON"))?;
        match &message {
            Self::Unknown(value) if value["type"] == "error" => {
                let word = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
                Err(Ended::new(&word("code"), word("message")))
            }
            _ => Ok(message),
        }
    }

    /// Cursor that covers everything up to this message.
    pub fn cursor(&self) -> Option<&str> {
        match self {
            Self::Ready { cursor, .. } | Self::Live { cursor } => Some(cursor),
            Self::Event { id, .. } | Self::Gap { id, .. } => Some(id),
            Self::Interrupted { .. } | Self::Unsubscribed { .. } => None,
            Self::Unknown(value) => value["id"].as_str().or_else(|| value["cursor"].as_str()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of the README, and additional messages of the WebSocket.
    #[test]
    fn each_object_is_written_as_it_was_read() {
        let readme = include_str!("../../README.md");
        let objects = readme
            .lines()
            .filter(|line| line.starts_with("{\"type\":\""))
            .chain([r#"{"type":"unsubscribed","channels":["a"]}"#]);
        let objects: Vec<_> = objects.collect();
        assert_eq!(objects.len(), 6);
        for object in objects {
            let message = Message::parse(object).unwrap();
            assert!(!matches!(message, Message::Unknown(_)), "{object}");
            assert_eq!(serde_json::to_string(&message).unwrap(), object);
        }
    }

    #[test]
    fn what_is_not_known_is_kept() {
        let text = r#"{"type":"later","id":"e-1","x":[1]}"#;
        let message = Message::parse(text).unwrap();
        assert_eq!(message.cursor(), Some("e-1"));
        let written: Value = serde_json::to_value(&message).unwrap();
        assert_eq!(written, serde_json::from_str::<Value>(text).unwrap());
    }

    #[test]
    fn an_error_is_the_end() {
        let text = r#"{"type":"error","code":"shutting_down","message":"over"}"#;
        let ended = Message::parse(text).unwrap_err();
        assert_eq!(ended, Ended::new("shutting_down", "over"));
        assert!(Message::parse("{").is_err());
    }
}
