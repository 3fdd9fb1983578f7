//! Origins whose pages may use the gateway (RFC 6454, and
//! <https://fetch.spec.whatwg.org/#http-cors-protocol>): a browser sends cookies along,
//! and opens WebSockets, for any page. A request without an origin comes from no page,
//! from a page of the same host, or is a load that `fetch_site` distinguishes.

use std::str::FromStr;

use http::{HeaderMap, HeaderValue, Uri, header};

use super::hosts::HostName;
use crate::transport::protocol::codes::{Code, Refusal};

/// Settings for browsers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Browsers {
    /// Origins whose pages are allowed, besides those of the gateway's own host.
    pub allow_origin: Vec<Origin>,
    /// Host names allowed in requests if no token is needed, besides those of allowed
    /// origins.
    pub allow_host: Vec<HostName>,
    /// Name of the cookie that holds a token.
    pub cookie: Cookie,
}

impl Default for Browsers {
    fn default() -> Self {
        Self {
            allow_origin: Vec::new(),
            allow_host: Vec::new(),
            cookie: Cookie("pgfan_token".to_owned()),
        }
    }
}

/// Origin as browsers write it: `https://app.example`, compared exactly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin(String);

/// Error for a text that is not an [`Origin`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an origin as browsers write it, like https://app.example or http://localhost:3000")]
pub struct OriginError;

impl FromStr for Origin {
    type Err = OriginError;

    /// Rejects `*`, `null`, which every page can have, and paths.
    fn from_str(text: &str) -> Result<Self, OriginError> {
        let uri: Uri = text.parse().map_err(|_| OriginError)?;
        let (scheme, authority) = uri.scheme_str().zip(uri.authority()).ok_or(OriginError)?;
        let default = match scheme {
            "http" => 80,
            "https" => 443,
            _ => return Err(OriginError),
        };
        let is_exact = text == format!("{scheme}://{authority}");
        let is_plain = text == text.to_lowercase() && !text.contains(['*', '@', '%']);
        if !is_exact || !is_plain || authority.port_u16() == Some(default) {
            return Err(OriginError);
        }
        Ok(Self(text.to_owned()))
    }
}

impl Origin {
    /// Host and port.
    pub(super) fn authority(&self) -> Option<&str> {
        self.0.split_once("://").map(|(_, authority)| authority)
    }
}

/// Name of a cookie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cookie(String);

/// Error for a text that is not a [`Cookie`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a cookie's name, like pgfan_token")]
pub struct CookieError;

impl FromStr for Cookie {
    type Err = CookieError;

    /// Accepts a token in the sense of RFC 9110, section 5.6.2 (RFC 6265, section
    /// 4.1.1).
    fn from_str(text: &str) -> Result<Self, CookieError> {
        let is_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
        match !text.is_empty() && text.bytes().all(is_token) {
            true => Ok(Self(text.to_owned())),
            false => Err(CookieError),
        }
    }
}

impl Cookie {
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl Browsers {
    /// Origin of the page, if there is one. `is_https` is the scheme of the client's
    /// connection.
    pub(super) fn origin(
        &self,
        uri: &Uri,
        headers: &HeaderMap,
        is_https: impl FnOnce() -> bool,
    ) -> Result<Option<HeaderValue>, Refusal> {
        let mut origins = headers.get_all(header::ORIGIN).iter();
        let Some(origin) = origins.next() else {
            return Ok(None);
        };
        let is_good = origins.next().is_none()
            && origin.to_str().is_ok_and(|origin| {
                let mut listed = self.allow_origin.iter();
                listed.any(|one| one.0 == origin)
                    || is_of_host(origin, host(uri, headers), is_https)
            });
        match is_good {
            true => Ok(Some(origin.clone())),
            false => {
                let message = "pages of this origin may not use the gateway (--allow-origin)";
                Err(Refusal::new(Code::Forbidden, message))
            }
        }
    }
}

/// Whether the origin is that of the gateway's host. The scheme is part of an origin
/// (RFC 6454, section 5): an attacker on the path can change a page that came over
/// plain HTTP, so such a page may not use a gateway that is reached over TLS. A page
/// that came over TLS may use either, as a proxy may terminate TLS without reporting
/// it.
fn is_of_host(origin: &str, host: Option<&str>, is_https: impl FnOnce() -> bool) -> bool {
    let (of_page, is_plain) = match origin.strip_prefix("https://") {
        Some(of_page) => (Some(of_page), false),
        None => (origin.strip_prefix("http://"), true),
    };
    of_page.is_some_and(|page| !page.is_empty()) && of_page == host && !(is_plain && is_https())
}

/// Host of the request: `Host`, or HTTP/2's `:authority`.
fn host<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> Option<&'a str> {
    let mut hosts = headers.get_all(header::HOST).iter();
    match (hosts.next(), hosts.next()) {
        (None, _) => uri.authority().map(|authority| authority.as_str()),
        (Some(host), None) => host.to_str().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_what_browsers_write_and_nothing_else() {
        for text in [
            "https://app.example",
            "http://localhost:3000",
            "http://[::1]:80",
            "https://a.b",
        ] {
            let text = text.replace(":80", ":8080");
            assert_eq!(text.parse::<Origin>(), Ok(Origin(text.clone())));
        }
        for text in [
            "",
            "*",
            "null",
            "app.example",
            "https://",
            "https://app.example/",
            "ftp://a",
            "https://App.example",
            "HTTPS://app.example",
            "https://*.example",
            "https://a@b",
            "https://app.example:443",
            "http://a:80",
            "https://a/b",
            "https://a?b",
            " https://a",
        ] {
            assert_eq!(text.parse::<Origin>(), Err(OriginError), "{text}");
        }
    }

    fn is_let_in(browsers: &Browsers, host: &str, origins: &[&str]) -> bool {
        is_let_in_over(false, browsers, host, origins)
    }

    fn is_let_in_over(tls: bool, browsers: &Browsers, host: &str, origins: &[&str]) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, host.parse().unwrap());
        for origin in origins {
            headers.append(header::ORIGIN, origin.parse().unwrap());
        }
        let uri = Uri::from_static("/");
        browsers.origin(&uri, &headers, || tls).is_ok()
    }

    #[test]
    fn a_page_is_of_the_same_host_or_of_the_list_exactly() {
        let browsers = Browsers {
            allow_origin: vec!["https://good.example".parse().unwrap()],
            ..Browsers::default()
        };
        let host = "gateway.example:8000";
        for origins in [
            &[][..],
            &["https://good.example"],
            &["http://gateway.example:8000"],
            &["https://gateway.example:8000"],
        ] {
            assert!(is_let_in(&browsers, host, origins), "{origins:?}");
        }
        for origins in [
            &["https://evil.example"][..],
            &["null"],
            &[""],
            &["*"],
            &["https://good.example.evil.example"],
            &["https://evilgood.example"],
            &["HTTPS://GOOD.EXAMPLE"],
            &["https://Good.example"],
            &["https://good.example/"],
            &["https://good.example:443"],
            &["http://good.example"],
            &["https://good.example", "https://good.example"],
            &["https://good.example https://evil.example"],
            &["http://gateway.example"],
            &["http://gateway.example:8001"],
            &["gateway.example:8000"],
            &["ws://gateway.example:8000"],
            &["http://http://gateway.example:8000"],
        ] {
            assert!(!is_let_in(&browsers, host, origins), "{origins:?}");
        }
        assert!(!is_let_in(&browsers, "", &["http://"]));
    }

    #[test]
    fn over_tls_a_plain_page_is_of_the_list_alone() {
        let browsers = Browsers {
            allow_origin: vec!["http://old.example".parse().unwrap()],
            ..Browsers::default()
        };
        let is_let_in = |origin| is_let_in_over(true, &browsers, "gateway.example", &[origin]);
        assert!(is_let_in("https://gateway.example") && is_let_in("http://old.example"));
        assert!(!is_let_in("http://gateway.example"));
    }

    #[test]
    fn a_cookie_has_a_name_without_delimiters() {
        assert!("__Host-pgfan".parse::<Cookie>().is_ok());
        for text in ["", "a b", "a=b", "a;b", "a,b", "é"] {
            assert_eq!(text.parse::<Cookie>(), Err(CookieError), "{text}");
        }
    }
}
