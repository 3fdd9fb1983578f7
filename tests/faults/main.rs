//! The failure matrix: each row is a test whose name begins with it, causes the
//! real fault, and checks on each transport what the contract requires.

#![allow(
    clippy::unwrap_used,
    missing_docs,
    unreachable_pub,
    reason = "a test binary has no public face, and fails by panicking"
)]

#[path = "../support/mod.rs"]
#[allow(
    dead_code,
    unused_imports,
    reason = "shared by all test binaries; each uses a part"
)]
mod support;

/// One reader on each transport, and the messages that all of them must get.
mod audience;

/// F1 to F4: the session or its whole server ends.
mod lost_session;

/// F5 to F7: packets are dropped, held back, or late.
mod dead_link;

/// F8, F11, F26: standbys.
mod failover;

/// F10: the old primary stays alive, and the name resolves to another server.
mod elsewhere;

/// F12: a PgBouncer in between.
mod pooler;

/// F18: one transaction notifies very often.
mod burst;

/// F22: payloads that cannot be sent to the gateway.
mod poison;

/// F23: the cluster's notification queue is full.
mod queue;

/// F29 and F30: the server accepts no logins.
mod refused;

/// F31: the clock is set.
mod clock;

/// F13 to F15: the gateway is killed, ends, or is suspended.
mod gateway_away;

/// F16: readers that do not read.
mod slow_reader;

/// F16 and F17 on HTTP/2: streams that are not read.
mod slow_stream;

/// F17: readers that disappeared without closing.
mod dead_reader;
#[path = "../security/grpc_web.rs"]
#[allow(dead_code, reason = "shared with those without a right")]
mod grpc_web_call;

/// F19 to F21: cursors that are too old, of another gateway process, or
/// malformed.
mod cursors;

/// F32: no free file descriptors.
mod descriptors;
