//! Embedded files for browsers.

use axum::{
    Router,
    body::Body,
    response::{IntoResponse, Response},
    routing::get,
};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use ring::digest::{SHA256, digest};

use crate::transport::protocol::list_header;

/// Embedded file with its path and content type.
#[derive(Clone, Copy)]
pub(in crate::transport) struct Asset {
    pub(super) path: &'static str,
    pub(super) content_type: &'static str,
    pub(super) text: &'static str,
}

/// The browser client, the same file as in the npm package.
pub(in crate::transport) const CLIENT: Asset = Asset {
    path: "/pgfan.js",
    content_type: JAVASCRIPT,
    text: include_str!("../../../clients/js/pgfan.js"),
};

/// Media type of JavaScript (RFC 9239).
pub(super) const JAVASCRIPT: &str = "text/javascript; charset=utf-8";

/// The route of an asset.
pub(in crate::transport) fn asset(asset: Asset) -> Router {
    let tag = etag(asset.text);
    let answer = async move |headers: HeaderMap| answer(asset, &tag, &headers);
    Router::new().route(asset.path, get(answer))
}

/// Browsers revalidate the file each time, in about 304 bytes, so a page never
/// has a client of another version than the gateway's.
fn answer(asset: Asset, tag: &HeaderValue, headers: &HeaderMap) -> Response {
    let mut response = match is_known(tag, headers) {
        true => StatusCode::NOT_MODIFIED.into_response(),
        false => Response::new(Body::from(asset.text)),
    };
    let headers = response.headers_mut();
    headers.insert(header::ETAG, tag.clone());
    for (name, value) in [
        (header::CONTENT_TYPE, asset.content_type),
        (header::CACHE_CONTROL, "no-cache"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Hash of the text alone, so the tag is the same after a restart and on every
/// machine.
fn etag(text: &str) -> HeaderValue {
    let hash = digest(&SHA256, text.as_bytes());
    let hex: String = hash.as_ref()[..16]
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect();
    let quoted = format!("\"{hex}\"");
    // Hexadecimal digits in quotes are a valid header value.
    HeaderValue::from_str(&quoted).unwrap_or_else(|_| HeaderValue::from_static("\"\""))
}

/// Whether `If-None-Match` has the tag (RFC 9110, section 13.1.2). Compared
/// weakly, as a proxy that compresses the text makes the tag weak.
fn is_known(tag: &HeaderValue, headers: &HeaderMap) -> bool {
    let mut listed = list_header::elements(headers, &header::IF_NONE_MATCH);
    listed
        .any(|one| one == "*" || one.strip_prefix("W/").unwrap_or(one).as_bytes() == tag.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_found_in_a_list_weak_or_strong() {
        let tag = etag("a");
        let text = tag.to_str().unwrap();
        let other = etag("b").to_str().unwrap().to_owned();
        let of = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::IF_NONE_MATCH, value.parse().unwrap());
            }
            is_known(&tag, &headers)
        };
        assert_ne!(text, other);
        assert!(of(&[text]) && of(&[&format!("{other}, W/{text}")]) && of(&["*"]));
        assert!(of(&[&other, text]));
        assert!(!of(&[]) && !of(&[&other]) && !of(&[text.trim_matches('"')]));
    }
}
