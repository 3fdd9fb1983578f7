//! Response headers that restrict what browsers do with a response.

use http::{HeaderMap, HeaderName, HeaderValue, header};

/// HSTS policy (RFC 6797, section 6.1.1): after a visit over TLS, a browser uses only TLS
/// for this host for 30 days. That covers a monthly user, and a host that gives up TLS is
/// reachable again within a month. Not for subdomains and not preloaded: those names are
/// not the gateway's.
const HSTS: &str = "max-age=2592000";

/// Sets the headers of every response: browsers use the declared content type, and a page
/// of another origin may not load the response as an image, a script or the like
/// (<https://fetch.spec.whatwg.org/#cross-origin-resource-policy-header>). Browsers
/// ignore that policy for CORS requests, so it is set for allowed origins too.
pub(in crate::transport) fn secure(headers: &mut HeaderMap) {
    let policy = HeaderName::from_static("cross-origin-resource-policy");
    headers.insert(policy, HeaderValue::from_static("same-origin"));
    let nosniff = HeaderValue::from_static("nosniff");
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, nosniff);
}

/// Sets [`HSTS`].
pub(in crate::transport) fn remember_tls(headers: &mut HeaderMap) {
    let hsts = HeaderValue::from_static(HSTS);
    headers.insert(header::STRICT_TRANSPORT_SECURITY, hsts);
}
