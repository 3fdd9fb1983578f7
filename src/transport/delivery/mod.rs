//! From a subscription to the bytes that a socket takes.

pub(super) mod end;
pub(super) mod outbound;
