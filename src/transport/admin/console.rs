//! The console at `/`: one page, embedded in the program. It acts as an
//! ordinary client and has no rights of its own.

use axum::{Router, middleware::map_response, response::Response};
use http::{HeaderName, HeaderValue, header};

use super::assets::{Asset, JAVASCRIPT, asset};

const CSS: &str = "text/css; charset=utf-8";

const PAGE: Asset = Asset {
    path: "/",
    content_type: "text/html; charset=utf-8",
    text: include_str!("../../../console/index.html"),
};

macro_rules! file {
    ($name:literal, $content_type:expr) => {
        Asset {
            path: concat!("/console/", $name),
            content_type: $content_type,
            text: include_str!(concat!("../../../console/", $name)),
        }
    };
}

const FILES: [Asset; 9] = [
    file!("base.css", CSS),
    file!("parts.css", CSS),
    file!("icon.svg", "image/svg+xml"),
    file!("main.js", JAVASCRIPT),
    file!("status.js", JAVASCRIPT),
    file!("chart.js", JAVASCRIPT),
    file!("listen.js", JAVASCRIPT),
    file!("wires.js", JAVASCRIPT),
    file!("protobuf.js", JAVASCRIPT),
];

/// Content security policy (<https://www.w3.org/TR/CSP3/>): nothing external,
/// nothing inline, no external requests, no framing. A payload that got into
/// the page as more than text could do nothing there.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'; require-trusted-types-for 'script'; \
                      trusted-types 'none'";

/// The page and what it loads.
pub(in crate::transport) fn console() -> Router {
    let files = FILES.into_iter().map(asset);
    files
        .fold(asset(PAGE), Router::merge)
        .layer(map_response(secured))
}

async fn secured(mut response: Response) -> Response {
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (
            HeaderName::from_static("cross-origin-opener-policy"),
            "same-origin",
        ),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}
