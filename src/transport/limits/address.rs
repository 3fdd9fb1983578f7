//! What is one client, as far as addresses tell.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// In the extensions of a request: the other end of its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::transport) struct Peer(pub(in crate::transport) IpAddr);

/// An address of IPv4, or a network of IPv6 with 64 bits: so much each
/// customer has at least, and every machine there as many addresses as it
/// likes (RFC 6177, RFC 8981).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::transport) enum Address {
    V4(Ipv4Addr),
    V6([u16; 4]),
}

impl Address {
    pub(in crate::transport) const UNKNOWN: Self = Self::V4(Ipv4Addr::UNSPECIFIED);
}

impl From<IpAddr> for Address {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address),
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                Self::V6([a, b, c, d])
            }
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::V4(address) => address.fmt(f),
            Self::V6([a, b, c, d]) => {
                write!(f, "{}/64", Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_client_of_ipv6_has_64_bits() {
        let address = |text: &str| Address::from(text.parse::<IpAddr>().unwrap()).to_string();
        for (text, expected) in [
            ("192.0.2.1", "192.0.2.1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
            ("2001:db8:1:2::", "2001:db8:1:2::/64"),
            ("2001:db8:1:3::", "2001:db8:1:3::/64"),
            ("::1", "::/64"),
        ] {
            assert_eq!(address(text), expected, "{text}");
        }
    }
}
