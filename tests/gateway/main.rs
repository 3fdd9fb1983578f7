//! The whole gateway on a real PostgreSQL, with real clients. Each module is
//! a page of the contract.

#![allow(
    missing_docs,
    unreachable_pub,
    reason = "a test binary has no public face"
)]

mod support;

/// What holds on every wire: nothing is missed after `ready`.
mod parity;
