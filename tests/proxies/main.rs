//! Behind the proxies of `packaging/proxies`, as these files have them: nginx,
//! HAProxy and Caddy, real ones, with TLS in front and every wire behind.

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

/// A proxy, and a client's way through it.
mod proxy;

/// What comes through at once, what stays open, and what does not come through.
mod through;

/// Whose address the gateway sees.
mod address;

/// nginx is told to read its settings again.
mod reload;
