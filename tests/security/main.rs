//! Nobody gets in where they do not belong: attacks by those who know the
//! gateway well, each on every wire it applies to.

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

/// Reading and publishing on each wire, with or without a token.
mod attempts;
/// gRPC-Web, byte by byte.
mod grpc_web;
/// Tokens of every make.
mod tokens;

/// When the token is asked for.
mod before_message;
/// What is known, and not said, whatever goes wrong.
mod canaries;
/// Channels that are not a client's: reserved, off the list, in the history.
mod channels;
/// Connection strings that are not understood: no part of a password is repeated.
mod connection_strings;
/// Tokens of those who have no right to one.
mod crafted;
/// Streams that outlive their token.
mod expiry;
/// Files that are not their owner's alone.
mod files;
/// Images, frames and links of pages of other sites.
mod foreign_loads;
/// Keys of an identity provider, and how they change.
mod identity_provider;
/// Text of others in the log, and line ends in variables.
mod log_lines;
/// The log as JSON.
mod logs;
/// Every wire, every kind of token, every deed.
mod matrix;
/// Who may see how the gateway does.
mod metrics;
/// What a token costs.
mod once;
/// All of it over TLS.
mod over_tls;
/// Pages of other sites.
mod pages;
/// Pages whose own name leads to the gateway.
mod rebinding;
/// Other settings while it serves.
mod reload;

/// What the log says of tokens that are no good, or good for nothing.
mod reasons;
/// Pages over plain HTTP, of a gateway that is reached over TLS.
mod schemes;
/// What is never said: tokens, secrets, tickets.
mod secrets;
/// What `pgfan serve` does not start with, and `pgfan token`.
mod start;
/// Tickets, for clients that have nothing but a URL.
mod tickets;
/// Tokens that are for something else.
mod types;
/// The ways to hand in a token.
mod ways;
