//! Formats messages as lines. Pure.

use std::{borrow::Cow, fmt::Write as _};

use super::super::output::{is_unprintable, printable};
use crate::client::Message;

/// Output format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// For programs: one JSON object per line.
    Json,
    /// For people.
    Text {
        /// With the escape sequences of a terminal.
        in_colour: bool,
    },
}

/// SGR parameters (ECMA-48, 8.3.117).
const DIM: &str = "2";
const BOLD: &str = "1";
const GREEN: &str = "32";
const YELLOW: &str = "33";
const RED: &str = "31";

impl Style {
    /// Adds the line of `message`.
    pub(super) fn push(self, lines: &mut String, message: &Message) {
        match self {
            Self::Json => {
                let json = serde_json::to_string(message).unwrap_or_default();
                lines.push_str(&printable_json(&json));
            }
            Self::Text { in_colour } => push_text(lines, message, in_colour),
        }
        lines.push('\n');
    }
}

/// The same JSON, safe for a terminal. Unprintable characters that JSON permits occur only in
/// strings, where they can be escaped.
fn printable_json(json: &str) -> Cow<'_, str> {
    if !json.contains(is_unprintable) {
        return Cow::Borrowed(json);
    }
    let mut printable = String::with_capacity(json.len());
    for character in json.chars() {
        // Writing to a String cannot fail. All unprintable characters fit in four digits.
        let _ = match is_unprintable(character) {
            true => write!(printable, "\\u{:04x}", u32::from(character)),
            false => printable.write_char(character),
        };
    }
    Cow::Owned(printable)
}

fn push_text(lines: &mut String, message: &Message, in_colour: bool) {
    let (colour, word, rest) = match message {
        Message::Ready { channels, cursor } => {
            let channels = channels.join(", ");
            (GREEN, "ready", format!("{channels} (cursor {cursor})"))
        }
        Message::Event {
            channel,
            payload,
            received_at,
            ..
        } => {
            let time = part_of_day(received_at);
            push_word(lines, DIM, time, in_colour);
            push_word(lines, BOLD, &printable(channel), in_colour);
            lines.push_str(&printable(payload));
            return;
        }
        Message::Gap { reason, .. } => {
            let rest = format!("{reason}: something may be missing here");
            (RED, "gap", rest)
        }
        Message::Interrupted { since, message, .. } => {
            let since = part_of_day(since);
            let why = message.as_deref().unwrap_or("the gateway hears nothing");
            (YELLOW, "interrupted", format!("since {since}: {why}"))
        }
        Message::Live { .. } => (GREEN, "live", String::new()),
        Message::Unsubscribed { channels } => {
            let rest = format!("{}: taken away", channels.join(", "));
            (RED, "unsubscribed", rest)
        }
        Message::Unknown(value) => (RED, "unknown", value.to_string()),
    };
    let word = format!("{word:<12}");
    push_word(lines, colour, &word, in_colour);
    lines.push_str(&printable(&rest));
    lines.truncate(lines.trim_end().len());
}

fn push_word(lines: &mut String, colour: &str, word: &str, in_colour: bool) {
    // Writing to a String cannot fail.
    let _ = match in_colour {
        true => write!(lines, "\x1b[{colour}m{word}\x1b[0m "),
        false => write!(lines, "{word} "),
    };
}

/// `2026-11-24T12:00:00.123456Z` as a time of day with milliseconds; other text unchanged.
fn part_of_day(time: &str) -> &str {
    time.get(11..23).unwrap_or(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(message: &Message) -> String {
        let mut lines = String::new();
        Style::Text { in_colour: false }.push(&mut lines, message);
        lines
    }

    fn event(payload: &str) -> Message {
        Message::Event {
            id: "e-3".into(),
            channel: "orders".into(),
            payload: payload.into(),
            received_at: "2026-11-24T12:00:00.123456Z".into(),
        }
    }

    #[test]
    fn each_message_is_one_line() {
        let ready = Message::Ready {
            channels: vec!["a".into(), "b".into()],
            cursor: "e-2".into(),
        };
        assert_eq!(text(&ready), "ready        a, b (cursor e-2)\n");
        assert_eq!(text(&event("x")), "12:00:00.123 orders x\n");
        let gap = Message::Gap {
            id: "e-4".into(),
            reason: "source_lost".into(),
        };
        let told = "gap          source_lost: something may be missing here\n";
        assert_eq!(text(&gap), told);
        let live = Message::Live {
            cursor: "e-5".into(),
        };
        assert_eq!(text(&live), "live\n");
        let left = Message::Unsubscribed {
            channels: vec!["a".into()],
        };
        assert_eq!(text(&left), "unsubscribed a: taken away\n");
    }

    #[test]
    fn a_payload_cannot_speak_to_the_terminal() {
        let told = text(&event("a\x1b[2J\n\u{9b}31m\tb\u{202e}é\r"));
        let shown = "a\\u{1b}[2J\\n\\u{9b}31m\\tb\\u{202e}é\\r";
        assert_eq!(told, format!("12:00:00.123 orders {shown}\n"));
    }

    #[test]
    fn json_for_a_terminal_is_the_same_json() {
        let message = event("a\x1b\u{9b}31m\u{202e}é\n");
        let mut lines = String::new();
        Style::Json.push(&mut lines, &message);
        assert!(
            lines.contains(r#""payload":"a\u001b\u009b31m\u202eé\n""#),
            "{lines}"
        );
        let read: serde_json::Value = serde_json::from_str(&lines).unwrap();
        assert_eq!(read, serde_json::to_value(&message).unwrap());
    }

    #[test]
    fn colour_is_only_around_words() {
        let mut lines = String::new();
        Style::Text { in_colour: true }.push(&mut lines, &event("x"));
        let plain = "\x1b[2m12:00:00.123\x1b[0m \x1b[1morders\x1b[0m x\n";
        assert_eq!(lines, plain);
    }
}
