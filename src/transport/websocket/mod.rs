//! The WebSocket transports: JSON, raw and PGCacheWatch (RFC 6455).

pub(super) mod close;
pub(super) mod connection;
pub(super) mod first_frame;
pub(super) mod frames;
pub(super) mod json_wire;
pub(super) mod pgcachewatch;
pub(super) mod raw;
pub(super) mod socket;
pub(super) mod upgrade;
