//! Payloads: 150 bytes of JSON with a number and the send time.

use std::{sync::LazyLock, time::Instant};

/// As long as the payloads of the peers' published measurements.
pub const LENGTH: usize = 150;

/// Start of the numbers, so that all have the same number of digits.
const FIRST_NUMBER: u64 = 1_000_000;
const FIRST_TIME: u64 = 1_000_000_000_000;

const MARK: &[u8] = b"seq";

/// Start of the clock; one for publisher and readers, which share a process.
static STARTED: LazyLock<Instant> = LazyLock::new(now);

#[allow(
    clippy::disallowed_methods,
    reason = "measures real time, also on the thread without tokio"
)]
pub fn now() -> Instant {
    Instant::now()
}

/// Microseconds of the benchmark's own clock.
pub fn micros() -> u64 {
    u64::try_from(STARTED.elapsed().as_micros()).unwrap_or(u64::MAX)
}

/// The message with this number, stamped with the current time.
pub fn payload(number: u32) -> String {
    let number = FIRST_NUMBER + u64::from(number);
    let time = FIRST_TIME + micros();
    let start = format!(r#"{{"seq":{number},"at":{time},"text":""#);
    let padding = "x".repeat(LENGTH - start.len() - 2);
    format!(r#"{start}{padding}"}}"#)
}

/// Number and time in a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    pub number: u32,
    pub sent_at: u64,
}

/// Finds payloads in messages, wrapped and escaped or not. Starts at the last
/// position: messages of one server are alike.
#[derive(Debug, Default)]
pub struct Finder {
    place: usize,
}

impl Finder {
    pub fn stamp(&mut self, message: &[u8]) -> Option<Stamp> {
        let is_there = message.get(self.place..)?.starts_with(MARK);
        if !is_there {
            self.place = memchr::memmem::find(message, MARK)?;
        }
        let mut rest = &message[self.place + MARK.len()..];
        let number = next_number(&mut rest)?.checked_sub(FIRST_NUMBER)?;
        let sent_at = next_number(&mut rest)?.checked_sub(FIRST_TIME)?;
        let number = u32::try_from(number).ok()?;
        Some(Stamp { number, sent_at })
    }
}

fn next_number(text: &mut &[u8]) -> Option<u64> {
    let start = text.iter().position(u8::is_ascii_digit)?;
    let digits = text[start..]
        .iter()
        .take_while(|byte| byte.is_ascii_digit());
    let mut value = 0_u64;
    let mut length = 0;
    for digit in digits {
        value = value.wrapping_mul(10) + u64::from(digit - b'0');
        length += 1;
    }
    *text = &text[start + length..];
    Some(value)
}
