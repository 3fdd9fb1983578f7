//! Scheme of a client's connection if a proxy terminated its TLS: `X-Forwarded-Proto`,
//! and `proto` of `Forwarded` (RFC 7239, section 5.4).

use http::{HeaderMap, HeaderName, header::FORWARDED};

use crate::transport::protocol::list_header;

const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Whether the client's connection uses TLS. `speaks_tls` is that of this connection, and
/// `is_trusted` whether its peer is a trusted proxy.
///
/// `https` is accepted from any sender, as it only makes the check of origins stricter; a
/// page cannot make a browser send either header. `http` is accepted from a trusted
/// proxy, and only if no header contains `https`: one of them may be the client's own,
/// passed on.
pub(super) fn is_https(speaks_tls: bool, is_trusted: bool, headers: &HeaderMap) -> bool {
    let mut schemes = Schemes::default();
    list_header::texts(headers, &X_FORWARDED_PROTO).for_each(|scheme| schemes.add(scheme));
    list_header::texts(headers, &FORWARDED)
        .filter_map(proto)
        .for_each(|scheme| schemes.add(scheme));
    schemes.has_https || (speaks_tls && !(is_trusted && schemes.has_http))
}

#[derive(Default)]
struct Schemes {
    has_http: bool,
    has_https: bool,
}

impl Schemes {
    /// Some proxies (Traefik) write the scheme of a WebSocket.
    fn add(&mut self, scheme: &str) {
        let is_one = |names: [&str; 2]| names.iter().any(|n| scheme.eq_ignore_ascii_case(n));
        self.has_https |= is_one(["https", "wss"]);
        self.has_http |= is_one(["http", "ws"]);
    }
}

/// `for=192.0.2.1;proto=https`
fn proto(element: &str) -> Option<&str> {
    let mut pairs = element.split(';').map(str::trim);
    pairs.find_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        let is_proto = name.eq_ignore_ascii_case("proto");
        is_proto.then(|| value.trim_matches('"'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Over plain HTTP or TLS, from an untrusted peer or a trusted proxy.
    fn is(tls: bool, trusted: bool, headers: &[(&'static str, &str)]) -> bool {
        let headers = headers.iter().map(|(name, value)| {
            let name = HeaderName::from_static(name);
            (name, value.parse().unwrap())
        });
        is_https(tls, trusted, &headers.collect())
    }

    #[test]
    fn without_a_word_it_is_the_connection_s_own() {
        for trusted in [false, true] {
            assert!(is(true, trusted, &[]) && !is(false, trusted, &[]));
            let strange = [("x-forwarded-proto", "ftp"), ("forwarded", "for=_x")];
            assert!(is(true, trusted, &strange) && !is(false, trusted, &strange));
        }
    }

    #[test]
    fn https_is_believed_of_everybody() {
        for trusted in [false, true] {
            for (name, value) in [
                ("x-forwarded-proto", "https"),
                ("x-forwarded-proto", "HTTPS"),
                ("x-forwarded-proto", "https, http"),
                ("x-forwarded-proto", "wss"),
                ("forwarded", "for=192.0.2.1;proto=https"),
                ("forwarded", "proto=\"https\", for=10.0.0.1;Proto=http"),
            ] {
                assert!(is(false, trusted, &[(name, value)]), "{value}");
            }
            let both = [("forwarded", "proto=http"), ("x-forwarded-proto", "https")];
            assert!(is(false, trusted, &both) && is(true, trusted, &both));
        }
    }

    #[test]
    fn http_is_believed_of_a_trusted_proxy_alone() {
        for (name, value) in [
            ("x-forwarded-proto", "http"),
            ("x-forwarded-proto", "ws"),
            ("forwarded", "proto=http"),
        ] {
            assert!(is(true, false, &[(name, value)]), "{value}");
            assert!(!is(true, true, &[(name, value)]), "{value}");
        }
    }
}
