//! Whose pages may use the gateway (RFC 6454, and
//! <https://fetch.spec.whatwg.org/#http-cors-protocol>).

use std::str::FromStr;

use http::Uri;

/// How browsers are let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Browsers {
    /// Pages of these, beside those of the gateway's own host.
    pub allow_origin: Vec<Origin>,
    /// The name of the cookie that holds a token.
    pub cookie: Cookie,
}

impl Default for Browsers {
    fn default() -> Self {
        Self {
            allow_origin: Vec::new(),
            cookie: Cookie("pgfan_token".to_owned()),
        }
    }
}

/// As browsers write it: `https://app.example`, compared exactly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin(String);

/// Why a text is no [`Origin`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an origin as browsers write it, like https://app.example or http://localhost:3000")]
pub struct OriginError;

impl FromStr for Origin {
    type Err = OriginError;

    /// No star, no `null`, which every page can have, and no path.
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

/// A cookie's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cookie(String);

/// Why a text is no [`Cookie`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a cookie's name, like pgfan_token")]
pub struct CookieError;

impl FromStr for Cookie {
    type Err = CookieError;

    /// A token in the sense of RFC 9110, section 5.6.2 (RFC 6265, section
    /// 4.1.1).
    fn from_str(text: &str) -> Result<Self, CookieError> {
        let is_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
        match !text.is_empty() && text.bytes().all(is_token) {
            true => Ok(Self(text.to_owned())),
            false => Err(CookieError),
        }
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

    #[test]
    fn a_cookie_has_a_name_without_delimiters() {
        assert!("__Host-pgfan".parse::<Cookie>().is_ok());
        for text in ["", "a b", "a=b", "a;b", "a,b", "é"] {
            assert_eq!(text.parse::<Cookie>(), Err(CookieError), "{text}");
        }
    }
}
