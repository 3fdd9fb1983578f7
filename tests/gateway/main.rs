//! The whole gateway on a real PostgreSQL, with real clients. Each module is
//! a page of the contract.

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

/// What SECURITY.md says is tried.
mod attacks;

/// What may be depended on.
mod dependencies;

/// What a browser makes of an event stream.
mod event_stream;

/// Health, and the address for those who run it.
mod health;

/// Everything else on the one port.
mod http;

/// What gRPC says of a refusal, and what is no gRPC.
mod grpc;

/// gRPC-Web on HTTP/2.
mod grpc_web;

#[path = "../security/grpc_web.rs"]
#[allow(dead_code, reason = "shared with those without a right")]
mod grpc_web_call;

/// A sign of life for those who see no pings.
mod heartbeat;

/// The arrows between the layers.
mod layering;

/// Headers on several lines.
mod list_headers;

/// What the gateway tells of itself.
mod metrics;

/// What holds on every wire: nothing is missed after `ready`.
mod parity;

/// What arrives is exactly what was notified.
mod payloads;

/// README and guide.
mod documents;

/// Readers go away and come back.
mod resume;

/// What sets up the tests, and tries a bare machine.
mod scripts;

/// All of it over TLS.
mod tls;

/// What a WebSocket client can say.
mod websocket;
