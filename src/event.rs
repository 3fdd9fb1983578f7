//! Shared types: PostgreSQL's notifications, the hub's events, and their
//! names.

mod encodings;
mod follower;
mod wire;

use std::{
    fmt,
    hash::{BuildHasher, Hasher, RandomState},
    str::FromStr,
    sync::Arc,
    time::SystemTime,
};

use bytes::Bytes;
pub use encodings::{Encodings, FORMS, Footprint, Form};
pub use follower::{Followed, FollowedTurn, Follower};
pub use wire::{WIRES, WireName};

/// A PostgreSQL notification channel, checked once at construction.
///
/// 1 to 63 bytes of UTF-8 without NUL, compared exactly: `LISTEN` silently
/// truncates a longer identifier, so that two names would collide
/// (<https://www.postgresql.org/docs/current/sql-syntax-lexical.html#SQL-SYNTAX-IDENTIFIERS>).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChannelName(Arc<str>);

/// Reason why a text is not a channel name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChannelNameError {
    /// The empty text.
    #[error("a channel name cannot be empty")]
    Empty,
    /// More than [`ChannelName::MAX_BYTES`] bytes.
    #[error("a channel name has at most 63 bytes, this one has {0}")]
    TooLong(usize),
    /// PostgreSQL text cannot contain NUL.
    #[error("a channel name cannot contain NUL")]
    Nul,
}

impl ChannelName {
    /// `NAMEDATALEN - 1`: bytes, not characters.
    pub const MAX_BYTES: usize = 63;

    /// Channels with this prefix are reserved for the gateway: clients can
    /// neither subscribe to them nor publish on them.
    pub const RESERVED_PREFIX: &str = "pgfan:";

    /// Checks `name`.
    ///
    /// # Errors
    /// An empty name, one over 63 bytes, or one with a NUL.
    pub fn new(name: &str) -> Result<Self, ChannelNameError> {
        match name.len() {
            0 => Err(ChannelNameError::Empty),
            n if n > Self::MAX_BYTES => Err(ChannelNameError::TooLong(n)),
            _ if name.contains('\0') => Err(ChannelNameError::Nul),
            _ => Ok(Self(name.into())),
        }
    }

    /// The exact name, as `pg_notify` takes it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the name is reserved for the gateway.
    pub fn is_reserved(&self) -> bool {
        self.0.starts_with(Self::RESERVED_PREFIX)
    }
}

impl fmt::Debug for ChannelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::borrow::Borrow<str> for ChannelName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// Payload of a notification, checked once at construction.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Payload(String);

/// Reason why a text is not a payload.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PayloadError {
    /// More than [`Payload::MAX_BYTES`] bytes.
    #[error("a payload has at most 7999 bytes, this one has {0}")]
    TooLarge(usize),
    /// PostgreSQL text cannot contain NUL.
    #[error("a payload cannot contain NUL")]
    Nul,
}

impl Payload {
    /// PostgreSQL refuses 8000 bytes and more
    /// (<https://www.postgresql.org/docs/current/sql-notify.html>).
    pub const MAX_BYTES: usize = 7999;

    /// Checks `text`.
    ///
    /// # Errors
    /// A text of 8000 bytes or more, or one with a NUL.
    pub fn new(text: String) -> Result<Self, PayloadError> {
        match text.len() {
            n if n > Self::MAX_BYTES => Err(PayloadError::TooLarge(n)),
            _ if text.contains('\0') => Err(PayloadError::Nul),
            _ => Ok(Self(text)),
        }
    }

    /// The exact text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A notification as received from PostgreSQL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notification {
    /// The channel, as the server sent it.
    pub channel: Box<str>,
    /// The exact text, 0 to 7999 bytes.
    pub payload: Box<str>,
}

/// Identifies one uninterrupted lifetime of the log, so that a cursor of
/// another one is recognized.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Epoch(u64);

impl Epoch {
    /// A new epoch, from the operating system's randomness: 64 bits, so that no
    /// two lifetimes share one.
    pub fn random() -> Self {
        Self(RandomState::new().build_hasher().finish())
    }
}

/// Identifier of an event or a gap: the epoch, and the position in the log.
///
/// Its text, `<epoch>-<sequence>` in `[0-9a-z]+-[0-9]+`, is the cursor that
/// clients hand back; to them it is opaque.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EventId {
    /// Epoch of the log.
    pub epoch: Epoch,
    /// One sequence for all channels, rising by one.
    pub sequence: u64,
}

/// The text is not a cursor of this program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a cursor")]
pub struct CursorError;

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}-{}", self.epoch.0, self.sequence)
    }
}

impl FromStr for EventId {
    type Err = CursorError;

    /// Accepts exactly what `Display` writes, not a text that only resembles a
    /// cursor.
    fn from_str(text: &str) -> Result<Self, CursorError> {
        let (epoch, sequence) = text.split_once('-').ok_or(CursorError)?;
        let id = Self {
            epoch: Epoch(u64::from_str_radix(epoch, 16).map_err(|_| CursorError)?),
            sequence: sequence.parse().map_err(|_| CursorError)?,
        };
        (id.to_string() == text).then_some(id).ok_or(CursorError)
    }
}

/// A notification with an id from the hub.
#[derive(Debug)]
pub struct Event {
    /// Position in the log.
    pub id: EventId,
    /// The channel it was received on.
    pub channel: ChannelName,
    /// The exact text.
    pub payload: Box<str>,
    /// Time of receipt, by the gateway's clock.
    pub received_at: SystemTime,
    /// Encodings for the transports.
    pub encodings: Encodings,
    /// Observer of its delivery, if there is one.
    pub followed: Followed,
}

impl Event {
    /// This event in `form`; encoded by `encode` unless its encoding exists.
    pub fn encoded(event: &Arc<Self>, form: Form, encode: fn(&Arc<Self>) -> Bytes) -> &Bytes {
        event.encodings.get_or_encode(form, || encode(event))
    }
}

impl PartialEq for Event {
    /// Every id is assigned once.
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id && self.channel == other.channel && self.payload == other.payload
    }
}

impl Eq for Event {}

/// Whether a source can do its work beside the stream of events; if not, the reason,
/// for operators.
pub type Health = Result<(), &'static str>;

/// Why something may be missing at this place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GapReason {
    /// The PostgreSQL session broke: transactions committed in between are
    /// unknown.
    SourceLost,
    /// The cursor has another epoch, is ahead of the log, or is not a cursor.
    UnknownCursor,
    /// History does not reach back to the cursor, or the hub gave the channel up since.
    CursorTooOld,
    /// This reader fell behind the log.
    SlowReader,
    /// One notification could not be decoded.
    Unreadable,
}

/// Number of reasons.
pub const GAP_REASONS: usize = 5;

impl GapReason {
    /// In the order of their numbers.
    pub const ALL: [Self; GAP_REASONS] = [
        Self::SourceLost,
        Self::UnknownCursor,
        Self::CursorTooOld,
        Self::SlowReader,
        Self::Unreadable,
    ];

    /// The name in the public API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SourceLost => "source_lost",
            Self::UnknownCursor => "unknown_cursor",
            Self::CursorTooOld => "cursor_too_old",
            Self::SlowReader => "slow_reader",
            Self::Unreadable => "unreadable",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_name_is_counted_in_bytes() {
        assert!(ChannelName::new(&"x".repeat(63)).is_ok());
        assert_eq!(
            ChannelName::new(&"x".repeat(64)),
            Err(ChannelNameError::TooLong(64))
        );
        assert_eq!(
            ChannelName::new(&"é".repeat(32)),
            Err(ChannelNameError::TooLong(64))
        );
        assert_eq!(ChannelName::new(""), Err(ChannelNameError::Empty));
        assert_eq!(ChannelName::new("a\0b"), Err(ChannelNameError::Nul));
    }

    #[test]
    fn a_channel_name_is_kept_exactly() {
        for name in ["A", "a b", "x\"; DROP TABLE t; --", "\n", "%00", "é→😀"] {
            assert_eq!(ChannelName::new(name).map(|n| n.as_str() == name), Ok(true));
        }
    }

    #[test]
    fn a_payload_ends_below_8000_bytes() {
        assert!(Payload::new(String::new()).is_ok());
        assert!(Payload::new("é".repeat(3999) + "x").is_ok());
        assert_eq!(
            Payload::new("x".repeat(8000)),
            Err(PayloadError::TooLarge(8000))
        );
        assert_eq!(Payload::new("a\0".into()), Err(PayloadError::Nul));
    }

    #[test]
    fn a_cursor_is_what_it_was_written_as() {
        let id = EventId {
            epoch: Epoch::random(),
            sequence: u64::MAX,
        };
        assert_eq!(id.to_string().parse(), Ok(id));
        assert!(id.to_string().len() <= 64);
    }

    #[test]
    fn what_only_looks_like_a_cursor_is_none() {
        let long = format!("1-{}", "1".repeat(10_000));
        for text in [
            "",
            "-",
            "1",
            "1-",
            "-1",
            "1--1",
            "1-+1",
            "+1-1",
            "01-1",
            "1-01",
            "A-1",
            "g-1",
            " 1-1",
            "1-1 ",
            "1-18446744073709551616",
            "11111111111111111-1",
            "..",
            "\r\n",
            "😀-1",
            &long,
        ] {
            assert_eq!(text.parse::<EventId>(), Err(CursorError), "{text:?}");
        }
    }
}
