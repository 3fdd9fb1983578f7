//! Start of a notification's transaction, if the payload has it: as written by
//! the triggers of PGCacheWatch and of `pgfan triggers`.

use std::{
    borrow::Cow,
    time::{Duration, SystemTime},
};

use serde::Deserialize;

use crate::instruments::{Histogram, HistogramSnapshot};

/// Histogram of the delay between the start of a transaction and its receipt.
///
/// Samples one notification per batch: each one that comes singly, and one of
/// up to 256 in a burst, so that sampling costs a busy gateway next to nothing.
/// A payload without `sent_at` costs a search of its bytes.
#[derive(Debug, Default)]
pub struct SentAt(Histogram);

/// The member of the payload; others are ignored.
#[derive(Deserialize)]
struct Sent<'a> {
    #[serde(borrow)]
    sent_at: Cow<'a, str>,
}

impl SentAt {
    /// Samples a payload received just now. The delay is zero if the sender's
    /// clock is ahead of the gateway's.
    pub fn look(&self, payload: &str) {
        if let Some(sent_at) = sent_at(payload) {
            let took = SystemTime::now().duration_since(sent_at);
            self.0.observe(took.unwrap_or_default(), 1);
        }
    }

    /// Samples so far.
    pub fn spread(&self) -> HistogramSnapshot {
        self.0.spread()
    }
}

fn sent_at(payload: &str) -> Option<SystemTime> {
    if !payload.starts_with('{') || !payload.contains("\"sent_at\"") {
        return None;
    }
    let sent: Sent<'_> = serde_json::from_str(payload).ok()?;
    timestamp(&sent.sent_at)
}

/// Parses RFC 3339, and PostgreSQL's form (`2026-11-24T18:30:25.1+00:00`, the
/// offset perhaps in hours only).
pub(super) fn timestamp(text: &str) -> Option<SystemTime> {
    let (time, offset) = match text.strip_suffix('Z') {
        Some(time) => (time, "+00"),
        None => {
            // A date contains dashes too.
            let at = 10 + text.get(10..)?.rfind(['+', '-'])?;
            text.split_at_checked(at)?
        }
    };
    let time = humantime::parse_rfc3339_weak(time).ok()?;
    let (hours, minutes) = match offset.get(1..)?.split_once(':') {
        Some((hours, minutes)) => (hours, minutes),
        None => (offset.get(1..)?, "0"),
    };
    let (hours, minutes): (u64, u64) = (hours.parse().ok()?, minutes.parse().ok()?);
    if hours > 15 || minutes > 59 {
        return None;
    }
    let ahead = Duration::from_secs(3600 * hours + 60 * minutes);
    match offset.starts_with('-') {
        true => time.checked_add(ahead),
        false => time.checked_sub(ahead),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_read_as_postgresql_and_python_write_it() {
        let noon = SystemTime::UNIX_EPOCH + Duration::from_secs(43_200);
        for text in [
            "1970-01-01T12:00:00Z",
            "1970-01-01T12:00:00.000000Z",
            "1970-01-01T12:00:00+00:00",
            "1970-01-01T12:00:00.0+00",
            "1970-01-01T17:30:00+05:30",
            "1970-01-01T04:00:00-08",
            "1970-01-01 12:00:00-00:00",
        ] {
            let payload = format!(r#"{{"table": "t", "sent_at": "{text}", "n": [1]}}"#);
            assert_eq!(sent_at(&payload), Some(noon), "{text}");
        }
    }

    #[test]
    fn what_tells_nothing_is_left_alone() {
        for payload in [
            "",
            "{",
            "sent_at",
            r#"{"sent_at": 5}"#,
            r#"{"sent_at": ""}"#,
            r#"{"sent_at": "é1970-01-01T12"}"#,
            r#"{"sent_at": "1970-01-01T12:00:00"}"#,
            r#"{"sent_at": "1970-01-01T12:00:00+99"}"#,
            r#"{"sent_at": "0000-01-01T12:00:00+15"}"#,
            r#"{"n": {"sent_at": "1970-01-01T12:00:00Z"}}"#,
            r#"["sent_at"]"#,
        ] {
            assert_eq!(sent_at(payload), None, "{payload}");
        }
    }

    #[test]
    fn a_clock_that_is_ahead_counts_as_no_time() {
        let seen = SentAt::default();
        seen.look(r#"{"sent_at": "2999-01-01T00:00:00Z"}"#);
        let HistogramSnapshot { within, count, sum } = seen.spread();
        assert_eq!((within[0], count, sum), (1, 1, Duration::ZERO));
    }
}
