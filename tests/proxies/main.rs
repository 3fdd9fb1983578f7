//! Behind the proxies of `packaging/proxies`, with these files: real nginx,
//! HAProxy and Caddy, with TLS in front and every transport behind.

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

/// Delivery without buffering, streams that stay open, and requests that are
/// blocked.
mod through;

/// The client address that the gateway sees.
mod address;

/// Reload of nginx.
mod reload;
