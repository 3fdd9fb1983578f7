//! Middleware before all routes: refuses requests for an unknown host and requests caused
//! by pages of other sites, and sets the headers for browsers on every response.

use axum::{
    body::Body,
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use http::{HeaderName, HeaderValue, Method, StatusCode, header};

use super::{
    admission::Admission,
    fetch_site::is_foreign_load,
    forwarded_proto::is_https,
    hosts::{is_for_tls_alone, unknown_host},
    limits::Peer,
    route_set::{ListenerTraits, RouteSet},
};
use crate::transport::protocol::{
    codes::{Code, Refusal},
    security_headers::{remember_tls, secure},
};

/// Path of the liveness probe. A refusal of any kind would cause a restart of the
/// process.
pub(in crate::transport) const HEALTHZ: &str = "/healthz";

/// Request headers allowed to pages. A browser sends a request only if each of its
/// headers is listed here, so a header that a library adds would break an allowed page.
/// Listed are the transports' own headers; those of EventSource polyfills, gRPC-Web and
/// Connect clients; and those that tracing libraries add to each request: W3C, B3,
/// Sentry, Datadog, New Relic, Elastic. The gateway reads none of the latter.
const SENT_BY_PAGES: &str = "authorization, content-type, last-event-id, cache-control, pragma, \
     x-requested-with, x-request-id, x-correlation-id, \
     x-grpc-web, x-user-agent, grpc-timeout, grpc-accept-encoding, connect-protocol-version, \
     connect-timeout-ms, traceparent, tracestate, baggage, sentry-trace, b3, x-b3-traceid, \
     x-b3-spanid, x-b3-parentspanid, x-b3-sampled, x-b3-flags, x-datadog-trace-id, \
     x-datadog-parent-id, x-datadog-origin, x-datadog-sampling-priority, x-datadog-tags, \
     newrelic, elastic-apm-traceparent";

/// Preflight response headers.
const PREFLIGHT: [(HeaderName, &str); 3] = [
    (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST"),
    (header::ACCESS_CONTROL_ALLOW_HEADERS, SENT_BY_PAGES),
    // No browser caches it for less; the list may change.
    (header::ACCESS_CONTROL_MAX_AGE, "600"),
];

/// Response headers that pages may read, besides those that every page may: gRPC-Web has
/// its status there.
const EXPOSED: &str = "grpc-status, grpc-message, grpc-status-details-bin, retry-after, \
                       www-authenticate";

/// Runs before any handler and any upgrade: refuses requests for an unknown host, and
/// those of a foreign page. A response is never valid for another page (`Vary: origin`).
pub(in crate::transport) async fn guard(
    State((admission, front)): State<(Admission, ListenerTraits)>,
    request: Request,
    next: Next,
) -> Response {
    let is_for_tls_alone = front.speaks_tls && is_for_tls_alone(request.uri(), request.headers());
    let mut response = match rebound(&admission, front, &request) {
        Some(refused) => refused,
        None => of_page(&admission, front, request, next).await,
    };
    let headers = response.headers_mut();
    headers.append(header::VARY, HeaderValue::from_static("origin"));
    secure(headers);
    if is_for_tls_alone {
        remember_tls(headers);
    }
    response
}

/// Refusal of a request for an unknown host, if no token is needed. Over TLS, the
/// certificate has proven to a browser that the name is the gateway's.
fn rebound(admission: &Admission, front: ListenerTraits, request: &Request) -> Option<Response> {
    let needs_no_token = front.side == RouteSet::Admin || admission.lets_anybody_in();
    if front.speaks_tls || !needs_no_token || request.uri().path() == HEALTHZ {
        return None;
    }
    let browsers = admission.browsers();
    let unknown = unknown_host(&browsers, request.uri(), request.headers())?;
    admission.refused_origins().note_host(unknown.asked);
    let refusal = Refusal::new(Code::Forbidden, unknown.rule());
    // RFC 9110, section 15.5.20.
    Some(refusal.answer_with(StatusCode::MISDIRECTED_REQUEST, request.headers()))
}

async fn of_page(
    admission: &Admission,
    front: ListenerTraits,
    request: Request,
    next: Next,
) -> Response {
    let is_https = || {
        let peer = request.extensions().get::<Peer>();
        let is_trusted = peer.is_some_and(|&Peer(peer)| admission.limits().proxies.trusts(peer));
        is_https(front.speaks_tls, is_trusted, request.headers())
    };
    let browsers = admission.browsers();
    let origin = match browsers.origin(request.uri(), request.headers(), is_https) {
        Ok(origin) => origin,
        Err(refusal) => {
            admission.refused_origins().note(request.headers());
            return refusal.answer_to(request.headers());
        }
    };
    let Some(origin) = origin else {
        return match is_foreign_load(&request) {
            true => foreign_load().answer_to(request.headers()),
            false => next.run(request).await,
        };
    };
    let mut response = match is_preflight(&request) {
        true => preflight(),
        false => next.run(request).await,
    };
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    for (name, value) in [
        (header::ACCESS_CONTROL_ALLOW_CREDENTIALS, "true"),
        (header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

fn foreign_load() -> Refusal {
    let rule = "a page of another site may not load this without its origin (Sec-Fetch-Site); \
                links may lead to the console and to /v1/status, /metrics and /readyz";
    Refusal::new(Code::Forbidden, rule)
}

fn is_preflight(request: &Request) -> bool {
    let asks = header::ACCESS_CONTROL_REQUEST_METHOD;
    request.method() == Method::OPTIONS && request.headers().contains_key(asks)
}

fn preflight() -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    for (name, value) in PREFLIGHT {
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    response
}
