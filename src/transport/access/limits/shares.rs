//! Who holds the file descriptors of connections. One address has half of them
//! at most, whatever it does with each: a newcomer, a reader, or a connection
//! of HTTP/2 with none. Trusted proxies hold them for many clients, and leave
//! some to those who come past them: who looks whether the gateway is well.

use std::{net::IpAddr, sync::Arc};

use super::{Address, Limits, Permit, Quota};

/// Left to everybody else by one address that was given more than a half
/// (`--max-readers-per-address`), and by all proxies together: so many probes
/// and publishers at one time are more than a gateway has.
const SPARED: usize = 64;

/// Whose connections are counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::transport) enum Holder {
    Address(Address),
    Proxies,
}

/// One descriptor of a share, until this is dropped.
pub(in crate::transport) type Share = Permit<Holder>;

/// Of one door.
#[derive(Debug)]
pub(in crate::transport) struct Shares {
    holders: Arc<Quota<Holder>>,
    /// How many descriptors connections may take.
    room: usize,
}

impl Shares {
    pub(in crate::transport) fn of(room: usize) -> Self {
        Self {
            holders: Arc::default(),
            room,
        }
    }

    /// One more connection of `peer`, unless it has `beyond` more than its share
    /// already.
    pub(in crate::transport) fn take(
        &self,
        peer: IpAddr,
        limits: &Limits,
        beyond: usize,
    ) -> Option<Share> {
        let (holder, share) = self.share(peer, limits);
        self.holders.enter(holder, share.saturating_add(beyond))
    }

    /// Whose it is, and how much that is.
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

    /// Whether a share that is used up is worth a word.
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
            // Whoever knows that it is a crowd may say so.
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
