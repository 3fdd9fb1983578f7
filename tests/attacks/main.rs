//! Malicious clients against the real program. Each is refused at small cost,
//! while readers of every transport are served.
//!
//! A slow reader, the fourth of the classic floods, is in `tests/faults`
//! (`f16`), and attacks that need a token are with the tests of tokens.

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

#[path = "../database/tap.rs"]
#[allow(dead_code, reason = "shared with the tests of the database")]
mod tap;

#[path = "../security/tokens.rs"]
#[allow(dead_code, reason = "shared with those without a right")]
mod tokens;

/// The gateway under attack, and the readers that must not be affected.
mod besieged;
/// An HTTP/2 client that writes its own frames.
mod frames;
/// Clients of every transport from a given address.
mod guests;

/// Announced lengths without the data.
mod announced;
/// Clients that send too many messages.
mod chatter;
/// Compressed input, which is refused.
mod compression;
/// Too many readers and connections of one client.
mod crowds;
/// Exhaustion of the shared file descriptors.
mod descriptors;
/// Payloads and cursors that would forge messages.
mod event_stream;
/// Notifications of roles without any right.
mod forged;
/// Tokens that are cheap to forge and expensive to verify.
mod forged_tokens;
/// HTTP/2 floods.
mod http2;
/// Information about the gateway's internals.
mod inside;
/// Oversized input.
mod large;
/// Channels that are added and given up all the time, and their effect on new
/// subscribers.
mod listens;
/// Line breaks in the input, and the lines of the log.
mod log;
/// Channel names that try to break out of their quotes.
mod names;
/// Forged forwarded addresses.
mod proxies;
/// More publishes than the rate allows.
mod publishing;
/// Global limits that one client could use up.
mod shares;
/// Clients that send as slowly as they can.
mod slow;
/// Clients that ask for the status all the time.
mod status;
/// Too many channels.
mod subscriptions;
/// Services without a token.
mod unasked;
/// Requests that wait for the rest of their bytes.
mod waiting;

/// Held by tests that measure the gateway's processor time.
static PROCESSOR: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
