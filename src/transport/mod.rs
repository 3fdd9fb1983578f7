//! How readers receive it: the same meaning on every wire.
//!
//! | | WebSocket | SSE | gRPC | raw, PGCacheWatch |
//! | --- | --- | --- | --- | --- |
//! | ready | object | object | message | the 101 |
//! | event | object | object | message | the payload |
//! | gap, interrupted | object | object | message | close 1012 |
//! | live | object | object | message | – |
//! | idle | ping | `id:` line | HTTP/2 ping, `heartbeat` on request | ping |
//! | end | close code | last object | status | close code |
//!
//! Each wire decodes its request, passes `admission`, encodes each delivery
//! and ends; nothing else.

mod admission;
mod admitted;
mod assets;
mod close;
mod codes;
mod console;
mod counters;
mod credentials;
mod cursor;
mod descriptors;
mod end;
mod error_details;
mod expiry;
mod fetch_site;
mod first_frame;
mod forwarded_proto;
mod frames;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod grpc;
mod guard;
mod hand_over;
mod hosts;
mod http;
mod http1;
mod http2;
mod idle;
mod json;
mod known_channels;
mod limits;
mod list_header;
mod newcomers;
mod once;
mod origin;
mod outbound;
mod pages;
mod pgcachewatch;
mod punctual;
mod query;
mod raw;
mod refusals;
mod refused_origins;
mod rights;
mod security_headers;
mod server;
mod shares;
mod side;
mod socket;
mod sse;
mod status;
mod tcp;
#[cfg(test)]
mod tests;
mod tls;
mod turn;
mod upgrade;
mod waiting;
mod web_socket;
mod ws;

pub use admission::{Admission, Settings};
pub use codes::{CODES, Code, Refusal};
pub use counters::Totals;
pub use descriptors::{open_files, room};
pub use hosts::{HostName, HostNameError};
pub use http::{App, router};
pub use limits::{Limits, Network, NetworkError, Proxies};
pub use origin::{Browsers, Cookie, CookieError, Origin, OriginError};
pub use pages::Pages;
pub use server::{Door, serve};
pub use side::{Front, Side};
pub use tls::{Tls, TlsError, TlsFiles};
