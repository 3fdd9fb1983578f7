//! What reads bytes from outside, as targets for a fuzzer. Built for the
//! crate's own tests and with `--cfg fuzzing`, and no part of the library.
//!
//! Each target takes any bytes, and panics where something does not hold. The
//! crate's tests run each over its corpus, `fuzz/corpus/<name>`, and over what
//! chance makes of that; `make fuzz` hands it to libFuzzer.

mod connection;
#[cfg(test)]
mod tests;

use crate::{auth, source, transport};

/// Any bytes; panics where something does not hold.
pub type Target = fn(&[u8]);

/// Each by its name, which is also that of its corpus. A new parser gets a
/// function beside it, a row here, and a few inputs to begin with.
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

/// The target of this name.
pub fn target(name: &str) -> Option<Target> {
    let found = TARGETS.iter().find(|(known, _)| *known == name);
    found.map(|(_, target)| *target)
}
