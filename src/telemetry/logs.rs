//! Logs, to standard error.
//!
//! The rules:
//!
//! - *error*: somebody has to do something. *warn*: somebody should look.
//!   *info*: what the gateway or its source went through. *debug*: what one
//!   client did, or one statement: off unless it is looked for.
//! - What a client can cause at will is at most *debug*, or said once a minute, or a bounded
//!   number of times.
//! - A message is lowercase, without a full stop, and always the same; what
//!   differs is a field (`%error`, `address`), named as in the metrics.
//! - Said once, where it is dealt with.
//! - A line is one line: control characters in a field are escaped, whoever the text is from.
//! - Never a token, a ticket, a secret, a password or a connection string: what
//!   holds one has a type that does not print it. Never a payload either, and
//!   never a text of a client as it is: a field is escaped.

use std::{
    fmt,
    io::{self, IsTerminal as _},
    str::FromStr,
};

use tracing::{Level, field::Field};
use tracing_subscriber::{
    Layer as _,
    field::MakeExt as _,
    filter::{ParseError, Targets},
    fmt::format::{Writer, debug_fn},
    layer::SubscriberExt as _,
    util::SubscriberInitExt as _,
};

use crate::text::Printable;

/// How a line looks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people; with colours on a terminal.
    #[default]
    Text,
    /// An object a line, its fields beside `timestamp`, `level`, `target` and
    /// `message`.
    Json,
}

/// Why a text is no [`LogFormat`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("neither text nor json")]
pub struct LogFormatError;

impl FromStr for LogFormat {
    type Err = LogFormatError;

    fn from_str(text: &str) -> Result<Self, LogFormatError> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(LogFormatError),
        }
    }
}

/// Writes what `filter` lets through, in the form of `RUST_LOG`
/// (`info,pgfan::source=debug`); where it says nothing of pgfan, `usual` and above.
/// On a terminal with colours, where `in_colour`.
///
/// # Errors
/// `filter` has another form.
pub fn start(filter: &str, usual: Level, format: LogFormat, in_colour: bool) -> Result<(), String> {
    let targets = targets(filter, usual).map_err(|error| format!("RUST_LOG: {error}"))?;
    let lines = tracing_subscriber::fmt::layer().with_writer(io::stderr);
    let lines = match format {
        LogFormat::Text => {
            let is_shown = in_colour && io::stderr().is_terminal();
            let fields = debug_fn(write_field).delimited(" ");
            // Every value is escaped already, line ends too.
            lines
                .with_ansi(is_shown)
                .with_ansi_sanitization(false)
                .fmt_fields(fields)
                .boxed()
        }
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    // A second start, as in tests, leaves the first one in place.
    let _ = tracing_subscriber::registry()
        .with(lines.with_filter(targets))
        .try_init();
    Ok(())
}

/// A field of a line as text: `name=value`, or the message alone. The value may be of others, as the
/// message of a server or the name of a database: a line end in it would begin a line that the
/// gateway never wrote, and an escape sequence would act on the terminal of its reader.
fn write_field(line: &mut Writer<'_>, field: &Field, value: &dyn fmt::Debug) -> fmt::Result {
    let value = Printable(value);
    match field.name() {
        "message" => write!(line, "{value:?}"),
        name if line.has_ansi_escapes() => {
            // Italic name, dim sign (ECMA-48, 8.3.117).
            write!(line, "\x1b[3m{name}\x1b[0m\x1b[2m=\x1b[0m{value:?}")
        }
        name => write!(line, "{name}={value:?}"),
    }
}

/// A filter that says nothing of pgfan was made for another program, or has a slip
/// in a level's name: no reason to be silent.
fn targets(filter: &str, usual: Level) -> Result<Targets, ParseError> {
    if filter.is_empty() {
        return Ok(Targets::new().with_default(usual));
    }
    let targets: Targets = filter.parse()?;
    let is_ours = |(target, _): (&str, _)| target.starts_with(OURS);
    match targets.default_level().is_some() || targets.iter().any(is_ours) {
        true => Ok(targets),
        false => Ok(targets.with_target(OURS, usual)),
    }
}

/// The first part of every target of the gateway's own.
const OURS: &str = env!("CARGO_PKG_NAME");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_meant_for_it_does_not_silence_it() {
        for (filter, said) in [
            ("info", true),
            ("off", false),
            ("error", false),
            ("pgfan=error", false),
            ("pgfan::source=debug", false),
            ("h2=debug,warn", false),
            ("verbose", true),
            ("myapp=debug", true),
            ("", true),
        ] {
            let targets = targets(filter, Level::INFO).unwrap();
            assert_eq!(
                targets.would_enable("pgfan::cli", &Level::INFO),
                said,
                "{filter}"
            );
        }
        assert!(targets("pgfan=loud", Level::INFO).is_err());
    }
}
