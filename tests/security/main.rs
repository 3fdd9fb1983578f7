//! Nobody gets in where they do not belong: attacks by those who know the
//! gateway well, each on every wire it applies to.

#![allow(
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "a test binary has no public face, and fails by panicking"
)]

#[path = "../support/mod.rs"]
#[allow(
    dead_code,
    unused_imports,
    reason = "shared by all test binaries; each uses a part"
)]
mod support;

/// Reading and publishing on each wire, with or without a token.
mod attempts;
/// Tokens of every make.
mod tokens;

/// Every wire, every kind of token, every deed.
mod matrix;
