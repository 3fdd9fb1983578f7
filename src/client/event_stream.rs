//! Decoder of an event stream, without I/O
//! (<https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation>).

use std::mem;

/// Limit of a line, and of a message: an event has 8 KB, and JSON may make it six
/// times as long.
const MAX_BYTES: usize = 1 << 20;

/// A line or a message is too long.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooLong;

/// The state of one stream.
#[derive(Debug, Default)]
pub(super) struct EventStream {
    line: Vec<u8>,
    after_cr: bool,
    data: Option<String>,
}

impl EventStream {
    /// Feeds received bytes, and returns the messages they complete, as `onmessage`
    /// would get them.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Result<Vec<String>, TooLong> {
        let mut messages = Vec::new();
        for &byte in bytes {
            let follows_cr = mem::replace(&mut self.after_cr, byte == b'\r');
            match byte {
                b'\n' if follows_cr => {}
                b'\n' | b'\r' => {
                    let line = mem::take(&mut self.line);
                    messages.extend(self.end_line(&String::from_utf8_lossy(&line))?);
                }
                _ if self.line.len() == MAX_BYTES => return Err(TooLong),
                _ => self.line.push(byte),
            }
        }
        Ok(messages)
    }

    fn end_line(&mut self, line: &str) -> Result<Option<String>, TooLong> {
        if line.is_empty() {
            return Ok(self.data.take());
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        // Comments, `retry`, unknown fields, and `id`, which the messages contain.
        if field != "data" {
            return Ok(None);
        }
        match &mut self.data {
            Some(data) if data.len() + value.len() > MAX_BYTES => return Err(TooLong),
            Some(data) => {
                data.push('\n');
                data.push_str(value);
            }
            None => self.data = Some(value.to_owned()),
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(text: &str) -> Vec<String> {
        EventStream::default().feed(text.as_bytes()).unwrap()
    }

    #[test]
    fn the_examples_of_the_specification() {
        assert_eq!(decode("data: YHOO\ndata: +2\n\n"), ["YHOO\n+2"]);
        let text = ": test stream\n\ndata: first\nid: 1\n\ndata:second\nid\n\ndata:  third\n\n";
        assert_eq!(decode(text), ["first", "second", " third"]);
        assert_eq!(decode("data\n\ndata\ndata\n\ndata:"), ["", "\n"]);
    }

    #[test]
    fn what_has_no_data_is_no_message() {
        let text = "retry: 2000\n\nid: e-7\n\n:\n:\n:\ndata: a\n\n:\n";
        assert_eq!(decode(text), ["a"]);
    }

    #[test]
    fn every_end_of_a_line_counts_wherever_it_is_cut() {
        for end in ["\n", "\r", "\r\n"] {
            let text = format!("data: é{end}{end}data: b{end}{end}");
            let mut stream = EventStream::default();
            let messages: Vec<_> = text
                .bytes()
                .flat_map(|byte| stream.feed(&[byte]).unwrap())
                .collect();
            assert_eq!(messages, ["é", "b"], "{end:?}");
        }
    }

    /// A line that ends with CRLF is one line, without an empty one after it: that
    /// would end the message, and return its id before its data.
    #[test]
    fn a_message_has_all_its_lines_whatever_ends_them() {
        for end in ["\n", "\r", "\r\n"] {
            let text = ["id: 1", "data: a", "data: b", "", ""].join(end);
            assert_eq!(decode(&text), ["a\nb"], "{end:?}");
        }
    }

    #[test]
    fn nothing_grows_without_end() {
        let long = vec![b'x'; MAX_BYTES + 1];
        assert_eq!(EventStream::default().feed(&long), Err(TooLong));
        let mut stream = EventStream::default();
        let line = format!("data:{}\n", "x".repeat(1000));
        let fed = (0..2000).find_map(|_| stream.feed(line.as_bytes()).err());
        assert_eq!(fed, Some(TooLong));
    }
}
