//! Shared by all transports: close and status codes, the JSON form of messages, query
//! parameters and cursors. Depends on no other part of `transport`.

pub(super) mod codes;
pub(super) mod cursor;
pub(super) mod json;
pub(super) mod list_header;
pub(super) mod query;
pub(super) mod security_headers;
