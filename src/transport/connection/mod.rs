//! One connection: TCP, TLS, HTTP/1.1 and HTTP/2 up to the routing of a request,
//! with the limits that hold before a client is authenticated. `keepalive` serves
//! readers too.

pub(super) mod body_deadline;
pub(super) mod descriptors;
pub(super) mod http1;
pub(super) mod http2;
pub(super) mod keepalive;
pub(super) mod pending_requests;
pub(super) mod quota;
pub(super) mod socket;
pub(super) mod take_once;
pub(super) mod takeover;
pub(super) mod tcp;
pub(super) mod tls;
