//! Credentials of a request. Never read from its URL, except a ticket, because
//! URLs are logged.

use std::fmt;

use http::{HeaderMap, HeaderValue, header};

use super::origin::Cookie;
use crate::transport::protocol::list_header;

/// WebSocket subprotocol of pgfan. Offered beside [`BEARER`], since the server
/// has to choose one of the offered protocols (RFC 6455, section 4.1), and must
/// not repeat the token.
pub(in crate::transport) const PROTOCOL: &str = "pgfan.v1";

/// `Sec-WebSocket-Protocol: pgfan.v1, pgfan.bearer.TOKEN`: the only header that
/// a page can set on a WebSocket.
const BEARER: &str = "pgfan.bearer.";

/// Credentials of a request; `Debug` prints no secret.
#[derive(PartialEq, Eq)]
pub(in crate::transport) enum Credentials {
    None,
    Token(String),
    Ticket(String),
    /// Present, but no token can be read from them.
    Unreadable,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Token(_) => "Token(…)",
            Self::Ticket(_) => "Ticket(…)",
            Self::Unreadable => "Unreadable",
        })
    }
}

impl Credentials {
    /// Precedence: `Authorization`, the WebSocket subprotocol, the cookie. A
    /// credential sent on purpose comes before one that a browser sends
    /// automatically.
    pub(super) fn of(headers: &HeaderMap, cookie: &Cookie) -> Self {
        let given = [
            authorization(headers),
            only(protocols(headers).filter_map(|offer| offer.strip_prefix(BEARER))),
            only(cookies(headers, cookie)),
        ];
        let first = given.into_iter().find(|one| *one != Self::None);
        first.unwrap_or(Self::None)
    }
}

/// Bearer token (RFC 6750, section 2.1).
fn authorization(headers: &HeaderMap) -> Credentials {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (first, second) = (values.next(), values.next());
    let Some(first) = first else {
        return Credentials::None;
    };
    let scheme_and_token = first.to_str().ok().and_then(|text| text.split_once(' '));
    match (scheme_and_token, second) {
        (Some((scheme, token)), None) if scheme.eq_ignore_ascii_case("bearer") => {
            Credentials::Token(token.trim().to_owned())
        }
        _ => Credentials::Unreadable,
    }
}

/// Subprotocols offered by a WebSocket client.
pub(in crate::transport) fn protocols(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    list_header::elements(headers, &header::SEC_WEBSOCKET_PROTOCOL)
}

/// Whether one of the offered subprotocols is a token.
pub(in crate::transport) fn offers_token(headers: &HeaderMap) -> bool {
    protocols(headers).any(|offer| offer.starts_with(BEARER))
}

/// Values of the token cookie (RFC 6265, section 4.2).
fn cookies<'a>(headers: &'a HeaderMap, cookie: &'a Cookie) -> impl Iterator<Item = &'a str> {
    let values = headers.get_all(header::COOKIE).iter();
    let texts = values.filter_map(|value: &HeaderValue| value.to_str().ok());
    let pairs = texts.flat_map(|text| text.split(';'));
    pairs.filter_map(|pair| {
        let (name, value) = pair.trim().split_once('=')?;
        (name == cookie.as_str()).then_some(value)
    })
}

/// The only text. If there are two, another site of the same domain could have
/// injected one.
fn only<'a>(mut texts: impl Iterator<Item = &'a str>) -> Credentials {
    match (texts.next(), texts.next()) {
        (None, _) => Credentials::None,
        (Some(token), None) => Credentials::Token(token.to_owned()),
        _ => Credentials::Unreadable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pairs: &[(&'static str, &'static str)]) -> Credentials {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_static(value));
        }
        Credentials::of(&headers, &"pgfan_token".parse().unwrap())
    }

    #[test]
    fn a_token_stands_in_one_of_three_headers() {
        use Credentials::*;
        let token = |text: &str| Token(text.to_owned());
        let protocols = "sec-websocket-protocol";
        let table: [(&[_], _); 18] = [
            (&[], None),
            (&[("authorization", "Bearer a.b.c")], token("a.b.c")),
            (&[("authorization", "bearer  a.b.c ")], token("a.b.c")),
            (&[("authorization", "Bearer")], Unreadable),
            (&[("authorization", "Basic YTpi")], Unreadable),
            (&[("authorization", "")], Unreadable),
            (
                &[("authorization", "Bearer a"), ("authorization", "Bearer a")],
                Unreadable,
            ),
            (
                &[(protocols, "pgfan.v1, pgfan.bearer.a.b.c")],
                token("a.b.c"),
            ),
            (
                &[(protocols, "pgfan.v1"), (protocols, "pgfan.bearer.a")],
                token("a"),
            ),
            (&[(protocols, "pgfan.v1, chat")], None),
            (&[(protocols, "pgfan.bearer.a,pgfan.bearer.b")], Unreadable),
            (&[("cookie", "x=1; pgfan_token=a.b; y=2")], token("a.b")),
            (
                &[("cookie", "x=1"), ("cookie", "pgfan_token=a=")],
                token("a="),
            ),
            (
                &[("cookie", "my_pgfan_token=a; PGFAN_TOKEN=b; pgfan_token")],
                None,
            ),
            (&[("cookie", "pgfan_token=a; pgfan_token=b")], Unreadable),
            (
                &[("cookie", "pgfan_token=a"), ("authorization", "Bearer b")],
                token("b"),
            ),
            (
                &[("cookie", "pgfan_token=a"), (protocols, "pgfan.bearer.b")],
                token("b"),
            ),
            (
                &[("cookie", "pgfan_token=a"), ("authorization", "Basic b")],
                Unreadable,
            ),
        ];
        for (headers, expected) in table {
            assert!(of(headers) == expected, "{headers:?}");
        }
    }

    #[test]
    fn it_is_never_printed() {
        let printed = format!("{:?}", of(&[("authorization", "Bearer s3cret")]));
        assert_eq!(printed, "Token(…)");
    }
}
