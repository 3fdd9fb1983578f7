//! Logs, to standard error.
//!
//! The rules:
//!
//! - *error*: an operator has to act. *warn*: an operator should look. *info*: state changes of
//!   the gateway or its source. *debug*: actions of one client, or one statement; off by default.
//! - An event that a client can cause at will is at most *debug*, or logged once a minute, or a
//!   bounded number of times.
//! - A message is lowercase, without a full stop, and constant; variable
//!   parts are fields (`%error`, `address`), named as in the metrics.
//! - An event is logged once, by the code that handles it.
//! - One line per event: control characters in a field are escaped, whatever its source.
//! - Never log a token, a ticket, a secret, a password or a connection string: the
//!   types of these do not print them. Never log a payload, nor a
//!   client's text as it is: a field is escaped.

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

/// Format of a line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people; with colours on a terminal.
    #[default]
    Text,
    /// One JSON object per line, with the fields beside `timestamp`, `level`, `target` and
    /// `message`.
    Json,
}

/// Error for a text that is not a [`LogFormat`].
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

/// Starts logging of what `filter` lets through, in the form of `RUST_LOG`
/// (`info,pgfan::source=debug`); if it does not name pgfan, also of pgfan's events from `usual` up.
/// With colours on a terminal if `in_colour`.
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
    // In tests a second start leaves the first one in place.
    let _ = tracing_subscriber::registry()
        .with(lines.with_filter(targets))
        .try_init();
    Ok(())
}

/// Writes a field as text: `name=value`, or the message alone. The value may come from outside, as
/// a server's message or a database's name: an unescaped line end would forge a line, and an escape
/// sequence would act on the reader's terminal.
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

/// A filter without pgfan was made for another program, or has a wrong level name: not a reason to
/// log nothing.
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

/// The first part of all targets of the gateway.
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
