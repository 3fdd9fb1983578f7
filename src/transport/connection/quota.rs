//! Limit on the connections of one address that are not readers, or not yet. An
//! HTTP/1.1 connection that becomes a reader is counted as a reader instead; an
//! HTTP/2 connection may carry readers, and remains counted here.

use std::{net::IpAddr, sync::Arc};

use tracing::warn;

use super::descriptors::Place;
use crate::transport::access::limits::{
    Address, Limits, Peer, Permit, Quota,
    shares::{Holder, Share, Shares},
};

/// Minimum of the limit, however few readers an address may have: health checks and
/// publishers are not readers.
const FEW: usize = 64;

/// Connections of one address beyond its limit that get an error response; further
/// ones are dropped.
const TOLD: usize = 64;

/// Number of open connections per address, and their shares of the descriptors.
#[derive(Debug)]
pub(in crate::transport) struct ConnectionQuota {
    addresses: Arc<Quota<Address>>,
    shares: Shares,
}

/// A connection's permit. The connection is counted until this is dropped.
#[derive(Debug)]
pub(in crate::transport) struct ConnectionPermit {
    pub(in crate::transport) peer: Peer,
    pub(in crate::transport) place: Place,
    /// For the socket, which outlives this permit after a takeover by a reader.
    pub(in crate::transport) share: Option<Share>,
    _counted: Option<Permit<Address>>,
}

impl ConnectionQuota {
    /// A quota for `room` descriptors.
    pub(in crate::transport) fn of(room: usize) -> Self {
        Self {
            addresses: Arc::default(),
            shares: Shares::of(room),
        }
    }

    /// Connections of a trusted proxy belong to many clients: only the share limits
    /// them.
    pub(in crate::transport) fn visit(&self, peer: Peer, limits: &Limits) -> ConnectionPermit {
        let (mut place, mut _counted) = match limits.proxies.trusts(peer.0) {
            true => (Place::Free, None),
            false => self.enter(peer.0, limits),
        };
        let (least, share) = self.share(peer.0, limits);
        if least != Place::Free && place != Place::Crowded {
            (place, _counted) = (least, None);
        }
        ConnectionPermit {
            peer,
            place,
            share,
            _counted,
        }
    }

    fn share(&self, peer: IpAddr, limits: &Limits) -> (Place, Option<Share>) {
        if let Some(share) = self.shares.take(peer, limits, 0) {
            return (Place::Free, Some(share));
        }
        if self.shares.is_news() {
            match self.shares.share(peer, limits) {
                (Holder::Address(address), limit) => {
                    warn!(%address, limit, "an address has all connections it may (ulimit -n)");
                }
                (Holder::Proxies, limit) => {
                    warn!(
                        limit,
                        "the trusted proxies have all connections they may (ulimit -n)"
                    );
                }
            }
        }
        match self.shares.take(peer, limits, TOLD) {
            Some(share) => (Place::Full, Some(share)),
            None => (Place::Crowded, None),
        }
    }

    fn enter(&self, peer: IpAddr, limits: &Limits) -> (Place, Option<Permit<Address>>) {
        let address = Address::from(peer);
        let limit = limits.readers_per_address.max(FEW);
        if let Some(counted) = self.addresses.enter(address, limit) {
            return (Place::Free, Some(counted));
        }
        if self.addresses.is_news() {
            warn!(%address, limit, "an address has all connections it may (--max-readers-per-address)");
        }
        match self.addresses.enter(address, limit + TOLD) {
            Some(counted) => (Place::Full, Some(counted)),
            None => (Place::Crowded, None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: usize = FEW + 1;

    #[test]
    fn those_beyond_the_limit_are_told_and_then_dropped() {
        let network: crate::transport::Network = "10.0.0.0/8".parse().unwrap();
        let newcomers = ConnectionQuota::of(1 << 20);
        let limits = Limits {
            readers_per_address: LIMIT,
            proxies: vec![network].into(),
            ..Limits::default()
        };
        let peer = |text: &str| Peer(text.parse().unwrap());
        let visits = |text: &str, count: usize| -> Vec<_> {
            (0..count)
                .map(|_| newcomers.visit(peer(text), &limits))
                .collect()
        };
        let places =
            |visits: &[ConnectionPermit]| visits.iter().map(|v| v.place).collect::<Vec<_>>();
        let mut held = visits("192.0.2.1", LIMIT + TOLD + 1);
        assert_eq!(places(&held[..LIMIT]), [Place::Free; LIMIT]);
        assert_eq!(places(&held[LIMIT..LIMIT + TOLD]), [Place::Full; TOLD]);
        assert_eq!(held.pop().unwrap().place, Place::Crowded);
        assert_eq!(visits("192.0.2.2", 1)[0].place, Place::Free);
        assert_eq!(places(&visits("10.0.0.1", 200)), [Place::Free; 200]);
        drop(held);
        assert_eq!(visits("192.0.2.1", 1)[0].place, Place::Free);
    }
}
