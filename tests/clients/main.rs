//! The real program, driven as its users drive it: by clients that others
//! wrote, by signals, and by settings with mistakes in them.

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

/// The cache in Python, by the rules of the guide.
mod caching;
/// curl, on every wire that it can speak.
mod curl;
/// `pgfan demo`, and that it leaves nothing behind.
mod demo;
/// The commands of README and guide.
mod documents;
/// The examples, when what they follow is lost.
mod examples;
/// The page client in Node, its types, and readers of event streams.
mod javascript;
/// What an idle reader costs.
mod memory;
/// Prometheus, with the rules and the dashboard.
mod monitoring;
/// PGCacheWatch's caches, when what they follow is lost.
mod pgcachewatch;
/// PGCacheWatch, grpcio and the websockets library.
mod python;
/// What the JavaScript clients take for a sign of life.
mod signs_of_life;
/// Settings with mistakes in them, and a database that is not there.
mod start;
/// curl over TLS.
mod tls;

/// Held by a test that needs the machine for itself.
static HEAVY: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
