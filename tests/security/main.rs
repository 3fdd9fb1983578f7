//! Access control: attacks with knowledge of the gateway, each on every transport
//! that it applies to.

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

#[path = "../database/secured.rs"]
#[allow(dead_code, reason = "shared with the tests of the database")]
mod secured;

/// Reading and publishing on each transport, with or without a token.
mod attempts;
/// gRPC-Web, byte by byte.
mod grpc_web;
/// Tokens of all kinds.
mod tokens;

/// Time of the token check.
mod before_message;
/// Secrets, which no failure discloses.
mod canaries;
/// Channels that are not a client's: reserved, off the list, in the history.
mod channels;
/// Connection strings that are not understood: no part of a password is repeated.
mod connection_strings;
/// Forged tokens.
mod crafted;
/// Streams that outlive their token.
mod expiry;
/// Files with too permissive modes.
mod files;
/// Images, frames and links of pages of other sites.
mod foreign_loads;
/// Keys of an identity provider, and how they change.
mod identity_provider;
/// Foreign text in the log, and line ends in variables.
mod log_lines;
/// The log as JSON.
mod logs;
/// Every transport, kind of token, and operation.
mod matrix;
/// Access to the metrics.
mod metrics;
/// Cost of a token check.
mod once;
/// Access control over TLS.
mod over_tls;
/// Pages of other sites.
mod pages;
/// DNS rebinding.
mod rebinding;
/// Changed settings while the gateway serves.
mod reload;

/// Log lines about tokens that are invalid or grant nothing.
mod reasons;
/// Pages over plain HTTP, of a gateway that is reached over TLS.
mod schemes;
/// Disclosure of tokens, secrets and tickets.
mod secrets;
/// Settings with which `pgfan serve` does not start, and `pgfan token`.
mod start;
/// Tickets, for clients that can only set a URL.
mod tickets;
/// Tokens for another purpose.
mod types;
/// The ways to present a token.
mod ways;
