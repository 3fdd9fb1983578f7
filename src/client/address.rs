//! Address of a gateway: `http://host:port`, as in `--url`.

use std::{fmt, str::FromStr};

use http::{Uri, uri::Scheme};

/// The address of a gateway, with an optional path prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    pub(super) is_tls: bool,
    pub(super) host: String,
    pub(super) port: u16,
    authority: String,
    prefix: String,
}

/// Error of an invalid address. It does not contain the text, which may hold a
/// secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Not `http` or `https`.
    #[error("not a URL like http://127.0.0.1:8000 or https://events.example.com")]
    NotHttp,
    /// It contains a user, a query or a fragment; a token is configured elsewhere.
    #[error("a URL here has no user, query or fragment; a token goes into --token-file")]
    TooMuch,
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let uri: Uri = text.parse().map_err(|_| AddressError::NotHttp)?;
        let is_tls = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTP => false,
            Some(scheme) if *scheme == Scheme::HTTPS => true,
            _ => return Err(AddressError::NotHttp),
        };
        let authority = uri.authority().ok_or(AddressError::NotHttp)?;
        if authority.as_str().contains('@') || uri.query().is_some() || text.contains('#') {
            return Err(AddressError::TooMuch);
        }
        let host = authority.host().trim_matches(['[', ']']);
        // A colon with nothing after it, or a number that is too large, is not a
        // port.
        let port_is_good = authority.port().is_some() == has_port(authority.as_str())
            && authority.port().is_none() == authority.port_u16().is_none();
        if host.is_empty() || !port_is_good {
            return Err(AddressError::NotHttp);
        }
        Ok(Self {
            is_tls,
            host: host.to_owned(),
            port: authority
                .port_u16()
                .unwrap_or(if is_tls { 443 } else { 80 }),
            authority: authority.to_string(),
            prefix: uri.path().trim_end_matches('/').to_owned(),
        })
    }
}

/// Whether there is a port, after the brackets of an IPv6 address if there are any.
fn has_port(authority: &str) -> bool {
    let after = authority.rsplit(']').next().unwrap_or_default();
    after.contains(':')
}

impl Address {
    /// `host:port`, as it was given.
    pub(super) fn authority(&self) -> &str {
        &self.authority
    }

    /// The request path for the gateway's `path`, with the prefix.
    pub(super) fn path(&self, path: &str) -> String {
        format!("{}{path}", self.prefix)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_tls { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.authority, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Address, AddressError> {
        text.parse()
    }

    #[test]
    fn a_port_and_a_path_may_be_left_out() {
        for (text, is_tls, host, port, path) in [
            ("http://127.0.0.1:8000", false, "127.0.0.1", 8000, "/v1/sse"),
            ("http://localhost/", false, "localhost", 80, "/v1/sse"),
            ("https://h.example", true, "h.example", 443, "/v1/sse"),
            ("https://[::1]:9/a/b/", true, "::1", 9, "/a/b/v1/sse"),
            ("http://[::1]", false, "::1", 80, "/v1/sse"),
        ] {
            let address = parse(text).unwrap();
            let found = (address.is_tls, address.host.as_str(), address.port);
            assert_eq!(found, (is_tls, host, port), "{text}");
            assert_eq!(address.path("/v1/sse"), path, "{text}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in [
            "",
            "127.0.0.1:8000",
            "localhost",
            "/v1/ws",
            "ws://h",
            "http://",
            "http://h:",
            "http://h:70000",
            "http://:8000",
            "http://h h",
        ] {
            assert_eq!(parse(text), Err(AddressError::NotHttp), "{text}");
        }
        for text in ["http://a:secret@h", "http://h?channel=a", "http://h/#a"] {
            assert_eq!(parse(text), Err(AddressError::TooMuch), "{text}");
        }
    }
}
