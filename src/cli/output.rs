//! Output of the commands: results on standard output, messages on standard error.

use std::{
    borrow::Cow,
    fmt,
    io::{self, Write as _},
};

use super::CommandResult;
use crate::config::environment;
pub(super) use crate::text::is_unprintable;

/// Whether a terminal should show colours: <https://no-color.org>, and terminfo's name for a
/// terminal without them.
pub(super) fn in_colour() -> bool {
    let is_unwanted = environment("NO_COLOR").is_some_and(|text| !text.is_empty());
    !is_unwanted && environment("TERM").as_deref() != Some("dumb")
}

/// Prints a result. A closed standard output is not an error: its reader has seen enough.
pub(super) fn print(text: impl fmt::Display) -> CommandResult {
    match io::stdout().write_fmt(format_args!("{text}")) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written?),
    }
}

/// Prints a message for a person. A closed output or a full disk does not stop the command:
/// `eprintln!` would panic.
pub(super) fn tell(text: impl fmt::Display) {
    let _ = writeln!(io::stderr(), "{}", printable_lines(&text.to_string()));
}

/// A text from a database, a gateway or a client on one line, escaped so that it cannot
/// control the terminal.
pub(super) fn printable(text: &str) -> Cow<'_, str> {
    escaped(text, is_unprintable)
}

/// The same for multi-line text: keeps its line ends.
pub(super) fn printable_lines(text: &str) -> Cow<'_, str> {
    escaped(text, |character| {
        character != '\n' && is_unprintable(character)
    })
}

fn escaped(text: &str, is_escaped: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&is_escaped) {
        return Cow::Borrowed(text);
    }
    let mut printable = String::with_capacity(text.len());
    for character in text.chars() {
        match is_escaped(character) {
            true => printable.extend(character.escape_default()),
            false => printable.push(character),
        }
    }
    Cow::Owned(printable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_unprintable_is_left() {
        let text = "a\x1b[2J\n\u{9b}31m\tb\u{202e}\u{2028}\u{7f}é\r";
        let shown = "a\\u{1b}[2J\\n\\u{9b}31m\\tb\\u{202e}\\u{2028}\\u{7f}é\\r";
        assert_eq!(printable(text), shown);
        assert_eq!(printable_lines(text), shown.replace("\\n", "\n"));
        assert!(matches!(printable("Zoë's"), Cow::Borrowed("Zoë's")));
    }
}
