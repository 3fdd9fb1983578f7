//! The whole gateway on a real PostgreSQL, with real clients. Each module is a
//! page of the contract.

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

/// The claims of SECURITY.md.
mod attacks;

/// Rules for dependencies.
mod dependencies;

/// Event streams as a browser parses them.
mod event_stream;

/// Health, and the admin address.
mod health;

/// The other routes of the port.
mod http;

/// gRPC status details, and requests that are not gRPC calls.
mod grpc;

/// gRPC-Web on HTTP/2.
mod grpc_web;

#[path = "../security/grpc_web.rs"]
#[allow(dead_code, reason = "shared with those without a right")]
mod grpc_web_call;

/// Heartbeats for clients that cannot see pings.
mod heartbeat;

/// The dependencies between the layers.
mod layering;

/// Headers on several lines.
mod list_headers;

/// Metrics and status.
mod metrics;

/// Guarantees of every transport: no event is missed after `ready`.
mod parity;

/// Payloads arrive exactly as notified.
mod payloads;

/// README and guide.
mod documents;

/// Readers that disconnect and resume.
mod resume;

/// Scripts that set up the tests and a bare machine.
mod scripts;

/// All transports over TLS.
mod tls;

/// Messages of a WebSocket client.
mod websocket;
