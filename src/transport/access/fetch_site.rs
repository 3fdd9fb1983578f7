//! Requests that pages of other sites cause without an `Origin`: an `<img>`, a frame, a
//! link. A browser sends them with its user's cookie, and the user would become a reader
//! unintentionally. Browsers send the source of each request
//! (<https://www.w3.org/TR/fetch-metadata/>) to https and to this machine, but not to
//! plain HTTP elsewhere: there only `SameSite` withholds a cookie.

use http::{Method, Request};

/// Whether a page of another origin caused the request. A link that a person follows may
/// lead to the console and the pages beside it, but opens no stream.
pub(super) fn is_foreign_load<B>(request: &Request<B>) -> bool {
    let has = |name: &'static str, values: &[&str]| {
        let mut lines = request.headers().get_all(name).iter();
        lines.any(|line| values.iter().any(|value| line == value))
    };
    if !has("sec-fetch-site", &["cross-site", "same-site"]) {
        return false;
    }
    let is_followed = has("sec-fetch-mode", &["navigate"])
        && has("sec-fetch-dest", &["document"])
        && request.method() == Method::GET;
    !is_followed || !is_page(request.uri().path())
}

/// Whether a browser window may show it. The status is the only page of the API.
fn is_page(path: &str) -> bool {
    let is_api = path.starts_with("/v1/") || path.starts_with("/pgpubsub/");
    !is_api || path == "/v1/status"
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Site, mode and destination.
    fn is_refused(method: Method, path: &str, sent: &str) -> bool {
        let names = ["sec-fetch-site", "sec-fetch-mode", "sec-fetch-dest"];
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in names.iter().zip(sent.split_whitespace()) {
            request = request.header(*name, value);
        }
        is_foreign_load(&request.body(()).unwrap())
    }

    #[test]
    fn what_the_gateway_s_own_pages_and_programs_load_is_not_foreign() {
        for sent in [
            "none navigate document",
            "same-origin no-cors image",
            "same-origin navigate document",
            "",
        ] {
            assert!(!is_refused(Method::GET, "/v1/sse", sent), "{sent}");
        }
    }

    #[test]
    fn what_a_foreign_page_loads_is_refused_everywhere() {
        for sent in [
            "cross-site no-cors image",
            "same-site no-cors script",
            "cross-site navigate iframe",
            "same-site navigate object",
            "cross-site",
        ] {
            for path in ["/v1/sse", "/", "/metrics", "/pgfan.js"] {
                assert!(is_refused(Method::GET, path, sent), "{path} {sent}");
            }
        }
    }

    #[test]
    fn a_link_leads_to_pages_and_not_to_streams() {
        let followed = "cross-site navigate document";
        for path in ["/", "/metrics", "/v1/status", "/readyz"] {
            assert!(!is_refused(Method::GET, path, followed), "{path}");
        }
        for path in ["/v1/sse", "/v1/ws", "/v1/channels/a", "/pgpubsub/a"] {
            assert!(is_refused(Method::GET, path, followed), "{path}");
        }
        assert!(is_refused(Method::POST, "/", followed));
    }
}
