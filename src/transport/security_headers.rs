//! Response headers that tell browsers what they may do with a response.

use http::{HeaderMap, HeaderValue, header};

/// How long a browser that came over TLS asks for this host over nothing else (RFC 6797,
/// section 6.1.1): 30 days, so that a user of once a month is covered, and a host that
/// gives up TLS is reached again within one. Neither for names below it, nor preloaded:
/// they are not the gateway's.
const HSTS: &str = "max-age=2592000";

/// See [`HSTS`].
pub(super) fn remember_tls(headers: &mut HeaderMap) {
    let hsts = HeaderValue::from_static(HSTS);
    headers.insert(header::STRICT_TRANSPORT_SECURITY, hsts);
}
