//! A real Chromium: the browser client and the console on the real gateway.

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

/// A page with the client, and the messages that it received.
mod hearing;
/// A proxy that blocks WebSockets.
mod no_upgrade;

/// An application as a bundler builds it, and third-party libraries.
mod bundled;
/// The cache of `examples/browser-cache`, on a table.
mod cache;
/// The console, as a user sees it.
mod console;
/// `pgfan demo`, as a new user opens it.
mod demo;
/// Pages of other sites, and names that resolve to the gateway.
mod foreign;
/// Failing handlers and returning channels, which lose nothing silently.
mod honest;
/// No browser is left behind.
mod leavings;
/// Connections that end, and silence.
mod lost;
/// A page of another origin.
mod origins;

/// Caches that outlive their subscriptions.
mod outlived;
/// The module itself: how it is packed, and what it exports.
mod package;
/// The console, on streams that resume from a cursor.
mod resuming;
/// One connection for several subscriptions, and channels that come and go.
mod sharing;
/// Suspended pages, and network changes.
mod sleep;
/// Channels that are taken away.
mod taken_away;
/// Tokens, and channels that they do not grant.
mod tokens;
/// SSE, if WebSockets are blocked.
mod without_websocket;
