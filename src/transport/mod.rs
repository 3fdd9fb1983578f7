//! Transports for readers, all with the same semantics.
//!
//! | | WebSocket | SSE | gRPC | WebSocket raw, PGCacheWatch |
//! | --- | --- | --- | --- | --- |
//! | ready | object | object | message | the 101 |
//! | event | object | object | message | the payload |
//! | gap, interrupted | object | object | message | close 1012 |
//! | live | object | object | message | – |
//! | idle | ping | comment line | HTTP/2 ping, `heartbeat` on request | ping |
//! | end | close code | last object | status | close code |
//!
//! Each transport only decodes its request, passes it to `admission`, encodes
//! each delivery, and ends.
//!
//! Types in the extensions of a request:
//!
//! | type | set by | read by |
//! | --- | --- | --- |
//! | `Peer`: address of the connection | HTTP/1.1 and HTTP/2 servers | limits, the guard |
//! | `Weight`: where its bytes are counted | `pending_requests` | gRPC messages, bodies |
//! | `TakesStream`: the response may be a `StreamHandOver` | HTTP/2 server | gRPC |
//! | `Arc<Grant>`: of a token that was checked before the message | gRPC's layer | gRPC |
//!
//! Types in the extensions of a response:
//!
//! | type | set by | read by |
//! | --- | --- | --- |
//! | `Code`: of a refusal | `Refusal` | the counter of refusals |
//! | `HandOver`: the task that takes over the connection | WebSocket, SSE | HTTP/1.1 server |
//! | `StreamHandOver`: the task that takes over the stream | gRPC | HTTP/2 server |
//! | `SlowReaderCounter`: the body is a reader's | SSE, gRPC | HTTP/2 server |

mod access;
mod admin;
mod connection;
mod counters;
mod delivery;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod grpc;
mod protocol;
mod refusals;
mod router;
mod server;
mod sse;
#[cfg(test)]
mod tests;
mod websocket;

pub use access::admission::{Admission, Settings};
pub use access::hosts::{HostName, HostNameError};
pub use access::limits::{Limits, Network, NetworkError, Proxies};
pub use access::origin::{Browsers, Cookie, CookieError, Origin, OriginError};
pub use access::route_set::{ListenerTraits, RouteSet};
pub use admin::pages::AdminPages;
pub use connection::descriptors::{open_files, room};
pub use connection::tls::{Tls, TlsError, TlsFiles};
pub use counters::Totals;
pub use protocol::codes::{CODES, Code, Refusal};
pub use router::{App, router};
pub use server::{Listener, serve};
