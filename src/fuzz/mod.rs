//! Parsers of external input, as targets for a fuzzer. Built for the crate's
//! own tests and with `--cfg fuzzing`; not part of the library.
//!
//! Each target takes any bytes, and panics if an invariant is violated. The
//! crate's tests run each on its corpus, `fuzz/corpus/<name>`, and on random
//! mutations of it; `make fuzz` runs it in libFuzzer.

mod connection;
#[cfg(test)]
mod tests;

use crate::{auth, source, transport};

/// Takes any bytes; panics if an invariant is violated.
pub type Target = fn(&[u8]);

/// Targets by name, which is also the corpus' name. A new parser gets a
/// function beside it, a row here and a few inputs to start with.
pub const TARGETS: &[(&str, Target)] = &[
    ("client_message", transport::fuzz::client_message),
    ("query", transport::fuzz::query),
    ("path", transport::fuzz::path),
    ("cursor", transport::fuzz::cursor),
    ("grpc", transport::fuzz::grpc),
    ("connection", connection::connection),
    ("token", auth::fuzz::token),
    ("pattern", auth::fuzz::pattern),
    ("channel", source::fuzz::channel),
    ("connection_string", source::fuzz::connection_string),
    ("password_file", source::fuzz::password_file),
    ("service_file", source::fuzz::service_file),
];

/// The target with this name.
pub fn target(name: &str) -> Option<Target> {
    let found = TARGETS.iter().find(|(known, _)| *known == name);
    found.map(|(_, target)| *target)
}
