//! How pgfan reaches PostgreSQL, and how little it asks of it.

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

/// A server with TLS, and what its clients hold.
mod secured;

/// A link to the server that reads along.
mod tap;

/// TLS and passwords, as libpq's settings describe them.
mod tls;

/// Several hosts, standbys, Unix sockets, the libpq variables.
mod hosts;

/// Databases whose encoding is not UTF8.
mod encoding;

/// Ten thousand channels in a few round trips over one session.
mod batches;

/// A session that says nothing for long, and stays.
mod sessions;
