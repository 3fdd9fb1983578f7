//! Trusted proxies, and the client addresses that they name in `Forwarded` (RFC
//! 7239) and `X-Forwarded-For`. A proxy appends to the right, so the headers
//! are read from there, as long as the appending address is a trusted proxy.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    str::FromStr,
};

use http::{HeaderMap, HeaderName, header::FORWARDED};
use ipnet::{IpNet, Ipv4Net};

use crate::transport::protocol::list_header;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// An address or a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network(IpNet);

/// Error for a text that is not a [`Network`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    /// Neither an address nor a network.
    #[error("neither an address, like 10.0.0.1, nor a network, like 10.0.0.0/8 or fd00::/8")]
    Syntax,
    /// A /0 network: each client could choose its own address.
    #[error("everybody is no proxy")]
    Everybody,
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let address = text.parse::<IpAddr>().ok();
        let address = address.map(|address| IpNet::from(address.to_canonical()));
        let network = address.or_else(|| text.parse().ok().map(canonical));
        let network = network.ok_or(NetworkError::Syntax)?;
        match network.prefix_len() {
            0 => Err(NetworkError::Everybody),
            _ => Ok(Self(network)),
        }
    }
}

/// Converts an IPv4-mapped network (RFC 4291, section 2.5.5.2) to IPv4, the
/// form of the addresses with which it is compared.
fn canonical(network: IpNet) -> IpNet {
    let IpNet::V6(mapped) = network else {
        return network;
    };
    let length = mapped.prefix_len().checked_sub(96);
    let address = mapped.addr().to_ipv4_mapped();
    let of_ipv4 = address.zip(length);
    let of_ipv4 = of_ipv4.and_then(|(address, length)| Ipv4Net::new(address, length).ok());
    of_ipv4.map_or(network, IpNet::V4)
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Networks of the trusted proxies; empty by default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proxies(Vec<Network>);

impl From<Vec<Network>> for Proxies {
    fn from(networks: Vec<Network>) -> Self {
        Self(networks)
    }
}

impl Proxies {
    pub(in crate::transport) fn trusts(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0
            .iter()
            .any(|Network(network)| network.contains(&address))
    }

    /// Client address for a connection of `peer`. If both headers are present,
    /// one may be the client's own, passed on by a proxy that writes the other:
    /// if they disagree, neither counts.
    pub(super) fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        if !self.trusts(peer) {
            return peer;
        }
        let by = |name, hop| {
            let named = headers.contains_key(&name);
            named.then(|| self.first_stranger(peer, hops(headers, &name, hop)))
        };
        match (by(FORWARDED, forwarded), by(X_FORWARDED_FOR, node)) {
            (Some(one), Some(other)) if one != other => peer,
            (one, other) => one.or(other).unwrap_or(peer),
        }
    }

    /// The last address for which a trusted proxy vouches.
    fn first_stranger(&self, peer: IpAddr, hops: impl Iterator<Item = Option<IpAddr>>) -> IpAddr {
        let mut last = peer;
        for hop in hops {
            // A hop that is not an address hides one, and all hops before it.
            let Some(hop) = hop else { break };
            last = hop;
            if !self.trusts(hop) {
                break;
            }
        }
        last
    }
}

/// Whether a forwarding header is present.
pub(super) fn speaks_like_one(headers: &HeaderMap) -> bool {
    headers.contains_key(FORWARDED) || headers.contains_key(X_FORWARDED_FOR)
}

/// Hops from the right. Quoted commas are not recognized: the client's text is
/// on the left, and a quote there must not swallow what a proxy appended.
fn hops<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
    hop: fn(&str) -> Option<IpAddr>,
) -> impl Iterator<Item = Option<IpAddr>> + use<'a> {
    list_header::texts(headers, name).rev().map(hop)
}

/// `for=192.0.2.1;proto=https`
fn forwarded(element: &str) -> Option<IpAddr> {
    let mut pairs = element.split(';').map(str::trim);
    let value = pairs.find_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        name.eq_ignore_ascii_case("for").then_some(value)
    })?;
    let quoted = value.strip_prefix('"').and_then(|v| v.strip_suffix('"'));
    node(quoted.unwrap_or(value))
}

/// `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:80`
fn node(text: &str) -> Option<IpAddr> {
    let bare = text.parse::<IpAddr>().ok();
    let with_port = || text.parse().ok().map(|socket: SocketAddr| socket.ip());
    let in_brackets = || {
        let inner = text.strip_prefix('[')?.strip_suffix(']')?;
        inner.parse::<Ipv6Addr>().ok().map(IpAddr::from)
    };
    let address = bare.or_else(with_port).or_else(in_brackets)?;
    Some(address.to_canonical())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn client(peer: &str, headers: &[(&'static str, &str)]) -> String {
        let networks = ["::ffff:10.0.0.0/104", "fd00::/8", "192.0.2.7"];
        let networks = networks.map(|text| text.parse::<Network>().unwrap());
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_str(value).unwrap());
        }
        let proxies = Proxies::from(networks.to_vec());
        proxies.client(peer.parse().unwrap(), &map).to_string()
    }

    #[test]
    fn of_a_stranger_no_word_is_taken() {
        for peer in ["192.0.2.8", "11.0.0.1", "fe00::1", "::ffff:192.0.2.8"] {
            let headers = [("x-forwarded-for", "1.1.1.1"), ("forwarded", "for=1.1.1.1")];
            assert_eq!(client(peer, &headers), peer);
        }
    }

    #[test]
    fn what_stands_on_the_right_counts() {
        let x = |value| client("10.0.0.1", &[("x-forwarded-for", value)]);
        let table = [
            ("1.1.1.1", "1.1.1.1"),
            ("6.6.6.6, 1.1.1.1", "1.1.1.1"),
            ("6.6.6.6,1.1.1.1 , 10.0.0.2,192.0.2.7", "1.1.1.1"),
            ("1.1.1.1:80", "1.1.1.1"),
            ("2001:db8::1", "2001:db8::1"),
            ("[2001:db8::1]:80", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("::ffff:1.1.1.1", "1.1.1.1"),
            ("10.0.0.3, 10.0.0.2", "10.0.0.3"),
            ("1.1.1.1, unknown", "10.0.0.1"),
            ("1.1.1.1, unknown, 10.0.0.2", "10.0.0.2"),
            ("1.1.1.1, ", "10.0.0.1"),
            ("1.1.1.1 2.2.2.2", "10.0.0.1"),
            ("", "10.0.0.1"),
            ("1.1.1.1.1", "10.0.0.1"),
            ("[1.1.1.1]", "10.0.0.1"),
        ];
        for (value, expected) in table {
            assert_eq!(x(value), expected, "{value}");
        }
        let lines = [
            ("x-forwarded-for", "6.6.6.6"),
            ("x-forwarded-for", "1.1.1.1"),
        ];
        assert_eq!(client("::ffff:10.0.0.1", &lines), "1.1.1.1");
        assert_eq!(client("fd00::1", &[]), "fd00::1");
    }

    #[test]
    fn the_standards_header_is_read_too() {
        let forwarded = |value| client("192.0.2.7", &[("forwarded", value)]);
        let table = [
            ("for=1.1.1.1", "1.1.1.1"),
            ("proto=https; For=\"1.1.1.1:80\" ;by=10.0.0.1", "1.1.1.1"),
            ("for=6.6.6.6, for=\"[2001:db8::1]:80\"", "2001:db8::1"),
            ("for=1.1.1.1, for=10.0.0.2", "1.1.1.1"),
            ("for=1.1.1.1, for=_hidden", "192.0.2.7"),
            ("for=1.1.1.1, by=10.0.0.1", "192.0.2.7"),
            ("for=\"6.6.6.6, for=1.1.1.1", "1.1.1.1"),
            ("for=6.6.6.6;x=\", for=\"1.1.1.1\"", "1.1.1.1"),
            ("1.1.1.1", "192.0.2.7"),
            ("for=\"1.1.1.1", "192.0.2.7"),
        ];
        for (value, expected) in table {
            assert_eq!(forwarded(value), expected, "{value}");
        }
    }

    #[test]
    fn of_two_headers_one_may_be_the_clients_own() {
        let both = |one, other| {
            let headers = [("forwarded", one), ("x-forwarded-for", other)];
            client("10.0.0.1", &headers)
        };
        assert_eq!(both("for=6.6.6.6", "1.1.1.1"), "10.0.0.1");
        assert_eq!(both("for=_", "1.1.1.1"), "10.0.0.1");
        assert_eq!(both("for=1.1.1.1", "1.1.1.1"), "1.1.1.1");
    }

    #[test]
    fn networks_are_named_as_everywhere() {
        for text in ["10.0.0.1", "::1", "10.0.0.0/8", "10.1.2.3/8", "fd00::/64"] {
            assert!(text.parse::<Network>().is_ok(), "{text}");
        }
        for text in ["", "x", "10.0.0", "10.0.0.0/33", "::/129", "10.0.0.1:80"] {
            assert_eq!(text.parse::<Network>(), Err(NetworkError::Syntax), "{text}");
        }
        for text in ["0.0.0.0/0", "::/0", "::ffff:0:0/96"] {
            assert_eq!(text.parse::<Network>(), Err(NetworkError::Everybody));
        }
    }
}
