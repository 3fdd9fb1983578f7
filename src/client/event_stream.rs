//! The decoder of an event stream
//! (<https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation>).
//! Pure.

use std::mem;

/// The longest line, and the longest message: an event has 8 KB, which JSON may
/// make six times as long.
const MAX_BYTES: usize = 1 << 20;

/// What an empty line ends.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Block {
    /// What `onmessage` would be given.
    Data(String),
    /// Without data: only `lastEventId` moves.
    Id(String),
}

/// A line or a message is too long.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooLong;

/// The state of one stream.
#[derive(Debug, Default)]
pub(super) struct EventStream {
    line: Vec<u8>,
    after_cr: bool,
    data: Option<String>,
    id: Option<String>,
}

impl EventStream {
    /// Takes in bytes as they come, returns the blocks they complete.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Result<Vec<Block>, TooLong> {
        let mut blocks = Vec::new();
        for &byte in bytes {
            let follows_cr = mem::replace(&mut self.after_cr, byte == b'\r');
            match byte {
                b'\n' if follows_cr => {}
                b'\n' | b'\r' => {
                    let line = mem::take(&mut self.line);
                    blocks.extend(self.end_line(&String::from_utf8_lossy(&line))?);
                }
                _ if self.line.len() == MAX_BYTES => return Err(TooLong),
                _ => self.line.push(byte),
            }
        }
        Ok(blocks)
    }

    fn end_line(&mut self, line: &str) -> Result<Option<Block>, TooLong> {
        if line.is_empty() {
            let (data, id) = (self.data.take(), self.id.take());
            return Ok(data.map(Block::Data).or(id.map(Block::Id)));
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "data" => match &mut self.data {
                Some(data) if data.len() + value.len() > MAX_BYTES => return Err(TooLong),
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
                None => self.data = Some(value.to_owned()),
            },
            "id" => self.id = Some(value.to_owned()),
            // Comments, `retry`, and what is not known.
            _ => {}
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(text: &str) -> Vec<Block> {
        EventStream::default().feed(text.as_bytes()).unwrap()
    }

    fn data(text: &str) -> Block {
        Block::Data(text.to_owned())
    }

    #[test]
    fn the_examples_of_the_specification() {
        assert_eq!(decode("data: YHOO\ndata: +2\n\n"), [data("YHOO\n+2")]);
        let text = ": test stream\n\ndata: first\nid: 1\n\ndata:second\nid\n\ndata:  third\n\n";
        assert_eq!(
            decode(text),
            [data("first"), data("second"), data(" third")]
        );
        assert_eq!(
            decode("data\n\ndata\ndata\n\ndata:"),
            [data(""), data("\n")]
        );
    }

    #[test]
    fn an_id_alone_is_a_sign_of_life() {
        let text = "retry: 2000\n\nid: e-7\n\n";
        assert_eq!(decode(text), [Block::Id("e-7".to_owned())]);
    }

    #[test]
    fn every_end_of_a_line_counts_wherever_it_is_cut() {
        for end in ["\n", "\r", "\r\n"] {
            let text = format!("data: é{end}{end}data: b{end}{end}");
            let mut stream = EventStream::default();
            let blocks: Vec<_> = text
                .bytes()
                .flat_map(|byte| stream.feed(&[byte]).unwrap())
                .collect();
            assert_eq!(blocks, [data("é"), data("b")], "{end:?}");
        }
    }

    /// A line that CRLF ends is one line, and no empty one after it: that would
    /// end the message, and give its id before its data.
    #[test]
    fn a_message_has_all_its_lines_whatever_ends_them() {
        for end in ["\n", "\r", "\r\n"] {
            let text = ["id: 1", "data: a", "data: b", "", ""].join(end);
            assert_eq!(decode(&text), [data("a\nb")], "{end:?}");
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
