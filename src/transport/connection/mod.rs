//! One connection: TCP, TLS, HTTP/1.1 and HTTP/2 up to the point where a request is
//! routed, with the limits that hold before a client has shown a right.

pub(super) mod descriptors;
pub(super) mod hand_over;
pub(super) mod http1;
pub(super) mod http2;
pub(super) mod keepalive;
pub(super) mod newcomers;
pub(super) mod once;
pub(super) mod punctual;
pub(super) mod socket;
pub(super) mod tcp;
pub(super) mod tls;
pub(super) mod waiting;
