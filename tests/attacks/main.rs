//! Clients that mean harm, against the real program. Each is refused at small
//! cost, while other readers of every wire get what is theirs.
//!
//! A slow reader, the fourth of the classic floods, is in `tests/faults`
//! (`f16`), and what needs a token is beside the tokens.

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

/// The gateway under attack, and the readers who must not notice.
mod besieged;
/// A client of HTTP/2 that writes its own frames.
mod frames;
/// Clients of every wire that come from where they are told to.
mod guests;

/// What is announced and does not come.
mod announced;
/// Who says more than anybody has to say.
mod chatter;
/// Nothing is unpacked.
mod compression;
/// More readers and connections than one client needs.
mod crowds;
/// File descriptors that are everybody's.
mod descriptors;
/// Payloads and cursors that would forge messages.
mod event_stream;
/// Notifications of those who have no right to any.
mod forged;
/// Tokens whose signatures cost more than they do.
mod forged_tokens;
/// HTTP/2's own floods.
mod http2;
/// What is nobody's to see.
mod inside;
/// What is larger than anybody needs.
mod large;
/// Names that come and go, and who waits meanwhile.
mod listens;
/// What clients say does not break the lines of the log.
mod log;
/// Channel names that would leave their quotes.
mod names;
/// Addresses that are somebody else's.
mod proxies;
/// More notifications than one client has to tell.
mod publishing;
/// Global limits that one client could use up.
mod shares;
/// Clients that take all the time there is.
mod slow;
/// Who asks how the gateway does, all the time.
mod status;
/// More channels than anybody reads.
mod subscriptions;
/// Services that ask for no token.
mod unasked;
/// Requests that wait for the rest of themselves.
mod waiting;

/// Held by the tests that look at what the gateway's processor does.
static PROCESSOR: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
