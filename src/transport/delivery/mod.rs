//! Delivery of a subscription to a socket.

pub(super) mod end;
pub(super) mod outbound;
