//! What is notified on the private channel of a listening session.

use crate::event::{ChannelName, Payload};

/// A channel of one session of this process alone: gateways on the same
/// database do not hear each other's beats. Within 63 bytes, and without a quote.
pub(super) fn channel() -> ChannelName {
    let prefix = ChannelName::RESERVED_PREFIX;
    let name = format!("{prefix}heartbeat:{:016x}", fastrand::u64(..));
    ChannelName::new(&name).expect("a short text without NUL is a channel name")
}

/// One notification. Each kind is told from the others: they prove different
/// things.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Word {
    /// Of the second session, before the first event.
    Probe,
    /// Of the second session, each time that it is opened.
    Proof(u64),
    /// Of the session itself.
    HeartbeatQuery(u64),
}

impl Word {
    /// Without a quote.
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

    /// Nothing for what no gateway says.
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
