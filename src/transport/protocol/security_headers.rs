//! Response headers that tell browsers what they may do with a response.

use http::{HeaderMap, HeaderName, HeaderValue, header};

/// How long a browser that came over TLS asks for this host over nothing else (RFC 6797,
/// section 6.1.1): 30 days, so that a user of once a month is covered, and a host that
/// gives up TLS is reached again within one. Neither for names below it, nor preloaded:
/// they are not the gateway's.
const HSTS: &str = "max-age=2592000";

/// Sets the headers of every response: it is of the type that it names, and a page of
/// another origin may not load it as an image, a script or the like
/// (<https://fetch.spec.whatwg.org/#cross-origin-resource-policy-header>). That policy is
/// not looked at where CORS decides, so it holds for allowed origins too.
pub(in crate::transport) fn secure(headers: &mut HeaderMap) {
    let policy = HeaderName::from_static("cross-origin-resource-policy");
    headers.insert(policy, HeaderValue::from_static("same-origin"));
    let nosniff = HeaderValue::from_static("nosniff");
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, nosniff);
}

/// See [`HSTS`].
pub(in crate::transport) fn remember_tls(headers: &mut HeaderMap) {
    let hsts = HeaderValue::from_static(HSTS);
    headers.insert(header::STRICT_TRANSPORT_SECURITY, hsts);
}
