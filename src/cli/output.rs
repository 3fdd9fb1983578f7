//! What commands say: their result on standard output, all else on standard error.

use std::{
    fmt,
    io::{self, Write as _},
};

use super::CommandResult;
use crate::config::environment;

/// Whether a terminal is to show colours: <https://no-color.org>, and terminfo's name
/// for one that cannot.
pub(super) fn in_colour() -> bool {
    let is_unwanted = environment("NO_COLOR").is_some_and(|text| !text.is_empty());
    !is_unwanted && environment("TERM").as_deref() != Some("dumb")
}

/// The result. Whoever has seen enough closes the other end, which is no failure.
pub(super) fn print(text: impl fmt::Display) -> CommandResult {
    match io::stdout().write_fmt(format_args!("{text}")) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written?),
    }
}

/// For a person. Where nobody reads it, or a disk is full, the command does its work
/// all the same: `eprintln!` would panic.
pub(super) fn tell(text: impl fmt::Display) {
    let _ = writeln!(io::stderr(), "{text}");
}
