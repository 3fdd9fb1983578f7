//! Client addresses: the unit by which clients without a token are counted.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// Remote address of a connection, in the extensions of its requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::transport) struct Peer(pub(in crate::transport) IpAddr);

/// IPv4 address, in any form, or IPv6 /64 network: each customer has at least a
/// /64 (RFC 6177), and a machine may use any number of addresses in it (RFC
/// 8981).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::transport) enum Address {
    V4(Ipv4Addr),
    V6([u16; 4]),
}

impl Address {
    pub(in crate::transport) const UNKNOWN: Self = Self::V4(Ipv4Addr::UNSPECIFIED);

    /// Unique id, of the same length for both kinds.
    pub(super) fn id(self) -> [u8; 16] {
        match self {
            Self::V4(address) => address.to_ipv6_mapped().octets(),
            Self::V6([a, b, c, d]) => Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).octets(),
        }
    }
}

impl From<IpAddr> for Address {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address),
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                of_ipv4(address).map_or(Self::V6([a, b, c, d]), Self::V4)
            }
        }
    }
}

/// The embedded IPv4 address. Without it, one client would have two counts, or
/// all clients of a translator one. Embedding formats: NAT64 (64:ff9b::/96, RFC
/// 6052), 6to4 (2002::/16, RFC 3056), Teredo (2001::/32, RFC 4380, with each
/// bit inverted) and IPv4-compatible (::/96, RFC 4291, section 2.5.5.1, except
/// ::1 and its like). IPv4-mapped addresses are canonical already. Only for
/// counting: no proxy is trusted for an embedded address.
fn of_ipv4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let (high, low) = match address.segments() {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => (high, low),
        [0x2001, 0, _, _, _, _, high, low] => (!high, !low),
        [0x2002, high, low, ..] => (high, low),
        // 0.0.0.0/8 contains no host.
        [0, 0, 0, 0, 0, 0, high @ 0x100..=0xffff, low] => (high, low),
        _ => return None,
    };
    Some(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)))
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
            ("::", "::/64"),
            ("64:ff9b::192.0.2.1", "192.0.2.1"),
            ("64:ff9b::192.0.2.2", "192.0.2.2"),
            ("2001:0:c633:6401:8000:f000:3fff:fdfe", "192.0.2.1"),
            ("64:ff9b:0:1::192.0.2.1", "64:ff9b:0:1::/64"),
            ("2002:c000:201::7", "192.0.2.1"),
            ("2002:c000:201:ffff:1:2:3:4", "192.0.2.1"),
            ("::192.0.2.1", "192.0.2.1"),
        ] {
            assert_eq!(address(text), expected, "{text}");
        }
    }
}
