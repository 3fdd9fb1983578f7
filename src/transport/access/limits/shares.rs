//! Shares of the file descriptors for connections. One address has at most half
//! of them, or `--max-readers-per-address` if that is more, for connections of
//! any kind: new ones, readers, and HTTP/2 connections without readers. Trusted
//! proxies hold descriptors for many clients, and leave some to direct
//! connections, such as health checks.

use std::{net::IpAddr, sync::Arc};

use super::{Address, Limits, Permit, Quota};

/// Descriptors left to others by one address with a share of more than half
/// (`--max-readers-per-address`), and by all proxies together: more than a
/// gateway has of concurrent probes and publishers.
const SPARED: usize = 64;

/// Owner of connections that are counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::transport) enum Holder {
    Address(Address),
    Proxies,
}

/// Permit for one descriptor of a share, held until dropped.
pub(in crate::transport) type Share = Permit<Holder>;

/// Descriptor shares of one listener.
#[derive(Debug)]
pub(in crate::transport) struct Shares {
    holders: Arc<Quota<Holder>>,
    /// Number of descriptors that connections may use.
    room: usize,
}

impl Shares {
    pub(in crate::transport) fn of(room: usize) -> Self {
        Self {
            holders: Arc::default(),
            room,
        }
    }

    /// A permit for a connection of `peer`, unless it already has `beyond` more
    /// than its share.
    pub(in crate::transport) fn take(
        &self,
        peer: IpAddr,
        limits: &Limits,
        beyond: usize,
    ) -> Option<Share> {
        let (holder, share) = self.share(peer, limits);
        self.holders.enter(holder, share.saturating_add(beyond))
    }

    /// The owner of `peer`'s connections, and the size of its share.
    pub(in crate::transport) fn share(&self, peer: IpAddr, limits: &Limits) -> (Holder, usize) {
        let most = self.room - SPARED.min(self.room / 16);
        match limits.proxies.trusts(peer) {
            true => (Holder::Proxies, most),
            false => {
                let share = limits.readers_per_address.max(self.room / 2).min(most);
                (Holder::Address(peer.into()), share)
            }
        }
    }

    /// Whether to log a used-up share now.
    pub(in crate::transport) fn is_news(&self) -> bool {
        self.holders.is_news()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_alone_has_all_descriptors() {
        let network: crate::transport::Network = "10.0.0.0/8".parse().unwrap();
        let share = |room, peer: &str, readers_per_address| {
            let limits = Limits {
                readers_per_address,
                proxies: vec![network].into(),
                ..Limits::default()
            };
            let (holder, share) = Shares::of(room).share(peer.parse().unwrap(), &limits);
            let is_proxy = holder == Holder::Proxies;
            (is_proxy, share)
        };
        for (room, peer, readers, expected) in [
            (960, "192.0.2.1", 4, (false, 480)),
            (960, "192.0.2.1", 480, (false, 480)),
            // An operator who knows of a crowd at one address can allow it.
            (960, "192.0.2.1", 500, (false, 500)),
            (960, "192.0.2.1", 10_000_000, (false, 900)),
            (960, "10.0.0.1", 4, (true, 900)),
            (19_936, "10.0.0.1", 9968, (true, 19_872)),
            (usize::MAX, "192.0.2.1", 50_000, (false, usize::MAX / 2)),
        ] {
            assert_eq!(share(room, peer, readers), expected, "{room} {peer}");
        }
    }

    #[test]
    fn all_proxies_are_one_and_each_address_is_one() {
        let network: crate::transport::Network = "10.0.0.0/8".parse().unwrap();
        let limits = Limits {
            readers_per_address: 1,
            proxies: vec![network].into(),
            ..Limits::default()
        };
        let shares = Shares::of(32);
        let take = |peer: &str| shares.take(peer.parse().unwrap(), &limits, 0);
        let of_proxies: Vec<_> = (0..30).map(|n| take(&format!("10.0.0.{n}"))).collect();
        assert!(of_proxies.iter().all(Option::is_some));
        assert!(take("10.0.0.99").is_none());
        let of_one: Vec<_> = (0..16).map(|_| take("192.0.2.1")).collect();
        assert!(of_one.iter().all(Option::is_some));
        assert!(take("192.0.2.1").is_none() && take("::ffff:192.0.2.1").is_none());
        assert!(take("192.0.2.2").is_some());
        drop((of_proxies, of_one));
        assert!(take("10.0.0.1").is_some() && take("192.0.2.1").is_some());
    }
}
