//! The real program as its users run it: with third-party clients, signals, and
//! incorrect settings.

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
/// curl, on every transport that it supports.
mod curl;
/// `pgfan demo`, and that nothing of it is left behind.
mod demo;
/// The commands of README and guide.
mod documents;
/// The examples after a loss.
mod examples;
/// The page client in Node, its types, and readers of event streams.
mod javascript;
/// Memory of an idle reader.
mod memory;
/// Prometheus, with the rules and the dashboard.
mod monitoring;
/// PGCacheWatch's caches after a loss.
mod pgcachewatch;
/// PGCacheWatch, grpcio and the websockets library.
mod python;
/// Heartbeats as the JavaScript clients detect them.
mod signs_of_life;
/// Incorrect settings, and an unreachable database.
mod start;
/// curl over TLS.
mod tls;

/// Held by a test that needs the whole machine.
static HEAVY: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
