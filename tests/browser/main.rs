//! A real Chromium: the browsers' client and the console on the real gateway.

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

/// A page that has the client, and what it heard.
mod hearing;
/// A proxy that lets no WebSocket through.
mod no_upgrade;

/// An application as a bundler makes it, and libraries that others wrote.
mod bundled;
/// The cache of `examples/browser-cache`, on a table.
mod cache;
/// The console, as a person uses it.
mod console;
/// `pgfan demo`, as a newcomer opens it.
mod demo;
/// Pages of other sites, and names that lead to the gateway.
mod foreign;
/// What is never lost in silence: handlers that fail, channels that come back.
mod honest;
/// That no browser is left behind.
mod leavings;
/// Connections that end, and silence.
mod lost;
/// A page of another origin.
mod origins;

/// Caches that outlive their subscriptions.
mod outlived;
/// The module itself: how it is packed, and what it exports.
mod package;
/// The console, on streams that go on from a cursor.
mod resuming;
/// One connection for many, and channels that come and go.
mod sharing;
/// Pages that sleep, and other networks.
mod sleep;
/// Channels that are taken away.
mod taken_away;
/// Tokens, and channels that are not theirs.
mod tokens;
/// SSE, where a WebSocket does not get through.
mod without_websocket;
