//! The gateway under load, with the whole machine: each test waits for the one
//! before.

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

/// Readers that never read, and a flood that must not be delayed by them for
/// others.
mod flood;

/// Clients that come and go.
mod churn;

/// Readers that move between transports, under faults, and a judge.
mod stress;

static MACHINE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
