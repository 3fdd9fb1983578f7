//! Text of others, made safe for one line of a log or a terminal.

use std::fmt::{self, Write};

/// Shows a text with its control characters escaped, as `\n` and `\u{1b}`: neither a line end nor
/// an escape sequence of a terminal (ECMA-48) survives, nor a character that turns the direction of
/// what follows (Unicode, UAX #9) or ends a line in some readers (U+2028, U+2029).
pub(crate) struct Printable<T>(pub(crate) T);

impl<T: fmt::Display> fmt::Display for Printable<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(Escaping(f), "{}", self.0)
    }
}

impl<T: fmt::Debug> fmt::Debug for Printable<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(Escaping(f), "{:?}", self.0)
    }
}

/// Escapes what is written to the writer within.
struct Escaping<W>(W);

impl<W: Write> Write for Escaping<W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut rest = text;
        while let Some(at) = rest.find(is_unprintable) {
            self.0.write_str(&rest[..at])?;
            let mut chars = rest[at..].chars();
            if let Some(unprintable) = chars.next() {
                write!(self.0, "{}", unprintable.escape_default())?;
            }
            rest = chars.as_str();
        }
        self.0.write_str(rest)
    }
}

/// Whether a terminal, or a reader of a log, may take the character for something else than text:
/// control characters (C0, DEL, C1), line and paragraph separators, and marks of direction.
pub(crate) fn is_unprintable(character: char) -> bool {
    matches!(character, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}') || character.is_control()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_moves_a_cursor_is_escaped() {
        for (text, shown) in [
            ("plain é \\ \" '", "plain é \\ \" '"),
            ("a\r\n\tb", "a\\r\\n\\tb"),
            (
                "\x1b[2J\u{9b}31m\x07\0\x7f",
                "\\u{1b}[2J\\u{9b}31m\\u{7}\\u{0}\\u{7f}",
            ),
            (
                "\u{202e}x\u{2066}\u{2028}\u{85}",
                "\\u{202e}x\\u{2066}\\u{2028}\\u{85}",
            ),
        ] {
            assert_eq!(Printable(text).to_string(), shown);
        }
        assert_eq!(format!("{:?}", Printable(format_args!("a\nb"))), "a\\nb");
        assert_eq!(format!("{:?}", Printable("a\nb")), r#""a\nb""#);
    }
}
