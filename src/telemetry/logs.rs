//! Logs, to standard error.

use std::io::{self, IsTerminal as _};

use tracing_subscriber::{
    Layer as _, filter::Targets, layer::SubscriberExt as _, util::SubscriberInitExt as _,
};

/// Writes what `filter` lets through, in the form of `RUST_LOG`
/// (`info,pgfan::source=debug`); without one, `info` and above.
///
/// # Errors
/// `filter` has another form.
pub fn start(filter: Option<&str>) -> Result<(), String> {
    let targets: Targets = filter
        .unwrap_or("info")
        .parse()
        .map_err(|error| format!("RUST_LOG: {error}"))?;
    let lines = tracing_subscriber::fmt::layer()
        .with_ansi(io::stderr().is_terminal())
        .with_writer(io::stderr);
    // A second start, as in tests, leaves the first one in place.
    let _ = tracing_subscriber::registry()
        .with(lines.with_filter(targets))
        .try_init();
    Ok(())
}
