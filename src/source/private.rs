//! Notifications on the private channel of a listening session.

use crate::event::{ChannelName, Payload};

/// A private channel, unique to one session of this process: gateways on the same
/// database do not receive each other's heartbeats. Within 63 bytes, and without a
/// quote.
pub(super) fn channel() -> ChannelName {
    let prefix = ChannelName::RESERVED_PREFIX;
    let name = format!("{prefix}heartbeat:{:016x}", fastrand::u64(..));
    ChannelName::new(&name).expect("a short text without NUL is a channel name")
}

/// A notification on the private channel. The kinds are distinct because they prove
/// different things.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Word {
    /// Sent by the auxiliary session, before the first event.
    Probe,
    /// Sent by the auxiliary session each time it is opened.
    Proof(u64),
    /// Sent by the listening session itself.
    HeartbeatQuery(u64),
}

impl Word {
    /// The payload, without a quote.
    pub(super) fn text(self) -> String {
        match self {
            Self::Probe => "probe".into(),
            Self::Proof(number) => format!("proof {number}"),
            Self::HeartbeatQuery(number) => format!("beat {number}"),
        }
    }

    pub(super) fn payload(self) -> Payload {
        Payload::new(self.text()).expect("a short text without NUL is a payload")
    }

    /// Parses a payload; `None` if it is not one of a gateway.
    pub(super) fn read(text: &str) -> Option<Self> {
        if text == "probe" {
            return Some(Self::Probe);
        }
        let (kind, number) = text.split_once(' ')?;
        let number = number.parse().ok()?;
        match kind {
            "proof" => Some(Self::Proof(number)),
            "beat" => Some(Self::HeartbeatQuery(number)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_what_is_read() {
        for word in [Word::Probe, Word::Proof(0), Word::HeartbeatQuery(u64::MAX)] {
            assert_eq!(Word::read(&word.text()), Some(word));
        }
        for text in ["", "proof", "proof -1", "beat x", "other 1"] {
            assert_eq!(Word::read(text), None, "{text}");
        }
    }
}
