//! Connections to PostgreSQL, and how few statements they need.

#![allow(
    missing_docs,
    unreachable_pub,
    reason = "a test binary has no public face"
)]
#![allow(clippy::unwrap_used, reason = "here it is an assertion")]

#[allow(
    dead_code,
    unused_imports,
    reason = "shared by all test binaries; each uses a part"
)]
#[path = "../support/mod.rs"]
mod support;

/// A server with TLS, and its clients' files.
mod secured;

/// A link to the server that records the messages.
mod tap;

/// TLS and passwords, as libpq's settings describe them.
mod tls;

/// Several hosts, standbys, Unix sockets, the libpq variables.
mod hosts;

/// Databases whose encoding is not UTF8.
mod encoding;

/// Ten thousand channels in a few round trips over one session.
mod batches;

/// A session without statements for a long time, which stays open.
mod sessions;
