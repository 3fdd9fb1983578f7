//! Limits for each client, so that no client alone can exhaust the gateway. A
//! client is counted by its address, and by its token's subject.

mod address;
mod channels;
mod client;
mod pool;
mod proxies;
mod quota;
mod rates;
pub(in crate::transport) mod shares;
mod tokens;

use std::sync::{
    Arc, PoisonError, RwLock,
    atomic::{AtomicBool, Ordering},
};

use http::{Extensions, HeaderMap};
use tracing::warn;

pub use self::proxies::{Network, NetworkError, Proxies};
use crate::{
    auth::{Grant, Subject},
    event::ChannelName,
    hub::{Cursor, Subscription},
    publish::WAITING,
    transport::protocol::codes::{Code, Refusal},
};
pub(in crate::transport) use address::{Address, Peer};
use channels::Channels;
pub(in crate::transport) use client::Client;
pub(in crate::transport) use pool::{Pool, PoolPermit};
pub(in crate::transport) use quota::{LogThrottle, Permit, Quota};
pub(in crate::transport) use rates::{Rate, TokenBucket};
use rates::{Rates, Refused};
use tokens::{Forged, TokensOf};

/// Settings of the limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Concurrent readers of one client address, and limit of its connections
    /// without a reader (64 at least); the next is refused.
    pub readers_per_address: usize,
    /// Concurrent readers with tokens of one `sub`; the next is refused.
    pub readers_per_token: usize,
    /// Notifications a second that one client may publish; the next is refused.
    pub publish_rate: usize,
    /// Proxies that are trusted to name a client's address.
    pub proxies: Proxies,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            readers_per_address: 50_000,
            readers_per_token: 50_000,
            publish_rate: PUBLISH_RATE,
            proxies: Proxies::default(),
        }
    }
}

/// Default rate of publishes of one client: more than an application publishes
/// one by one, and a part of what the publishing session commits in a second,
/// so that the rest is left to other clients.
const PUBLISH_RATE: usize = 1000;

/// A client may have this many times as many publishes in the queue as there are free
/// places: three quarters of the queue if it is the only one, so that an application
/// which publishes for all its users has room, and a quarter stays free for others.
const QUEUE_SHARE: usize = 3;

/// Counts of readers and publishes by client.
#[derive(Debug)]
pub(super) struct Clients {
    limits: RwLock<Arc<Limits>>,
    addresses: Arc<Quota<Address>>,
    subjects: Arc<Quota<Subject>>,
    published: Rates<Client>,
    publishing: Arc<Quota<Client>>,
    queue_news: LogThrottle,
    channels: Channels,
    forged: Forged,
    /// Whether a forwarded address from an untrusted peer was logged.
    said: AtomicBool,
}

/// Permit for one reader, which counts for its address and its token's subject
/// until dropped.
#[derive(Debug)]
pub(in crate::transport) struct ReaderPermit {
    address: Permit<Address>,
    subject: Option<Permit<Subject>>,
}

impl ReaderPermit {
    pub(super) fn address(&self) -> Address {
        self.address.key()
    }
}

impl Clients {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            published: Rates::default(),
            publishing: Arc::default(),
            queue_news: LogThrottle::default(),
            channels: Channels::default(),
            forged: Forged::default(),
            addresses: Arc::default(),
            subjects: Arc::default(),
            said: AtomicBool::new(false),
            limits: RwLock::new(Arc::new(limits)),
        }
    }

    pub(super) fn limits(&self) -> Arc<Limits> {
        Arc::clone(&self.limits.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Applies new limits; existing readers are unaffected.
    pub(super) fn reload(&self, limits: Limits) {
        *self.limits.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(limits);
    }

    /// Client address of a request: its connection's peer, or the address that
    /// a trusted proxy names.
    pub(super) fn address(&self, extensions: &Extensions, headers: &HeaderMap) -> Address {
        let Some(&Peer(peer)) = extensions.get() else {
            // Requests without a connection count as one client.
            return Address::UNKNOWN;
        };
        let proxies = &self.limits().proxies;
        if !proxies.trusts(peer) && proxies::speaks_like_one(headers) {
            self.say_unheeded(peer);
        }
        proxies.client(peer, headers).into()
    }

    /// Logged once, because any client can cause it.
    fn say_unheeded(&self, peer: std::net::IpAddr) {
        if !self.said.swap(true, Ordering::Relaxed) {
            warn!(
                %peer,
                "sends a forwarded address and is not among --trusted-proxies: if it is a proxy, \
                 all of its clients count as one"
            );
        }
    }

    /// Takes a permit for a reader of this address and this token.
    pub(super) fn enter(&self, address: Address, grant: &Grant) -> Result<ReaderPermit, Refusal> {
        let limit = self.limits().readers_per_address;
        let Some(address) = self.addresses.enter(address, limit) else {
            if self.addresses.is_news() {
                warn!(%address, limit, "an address has all readers it may (--max-readers-per-address)");
            }
            let rule = "this address has as many readers as it may";
            return Err(Refusal::new(Code::TooMany, rule));
        };
        let subject = self.subject(grant)?;
        Ok(ReaderPermit { address, subject })
    }

    fn subject(&self, grant: &Grant) -> Result<Option<Permit<Subject>>, Refusal> {
        let Some(subject) = grant.subject() else {
            return Ok(None);
        };
        let limit = self.limits().readers_per_token;
        let Some(counted) = self.subjects.enter(subject, limit) else {
            if self.subjects.is_news() {
                warn!(
                    client = %Client::Subject(subject),
                    limit,
                    "a token has all readers it may (--max-readers-per-token)"
                );
            }
            let rule = "this token has as many readers as it may";
            return Err(Refusal::new(Code::TooMany, rule));
        };
        Ok(Some(counted))
    }

    /// Replaces the token of a reader.
    pub(super) fn change(&self, presence: &mut ReaderPermit, grant: &Grant) -> Result<(), Refusal> {
        if presence.subject.as_ref().map(Permit::key) != grant.subject() {
            presence.subject = self.subject(grant)?;
        }
        Ok(())
    }

    /// Joins `channels` for this client.
    pub(super) fn join(
        &self,
        client: Client,
        subscription: &mut Subscription,
        channels: &[ChannelName],
        cursor: Option<Cursor>,
    ) -> Result<(), Refusal> {
        self.channels.join(client, subscription, channels, cursor)
    }

    /// The failed signatures of an address.
    pub(super) fn tokens_of(&self, address: Address) -> TokensOf<'_> {
        self.forged.of(address)
    }

    /// Takes one publish from the client's token bucket. A client with a token
    /// is identified by it, from any address.
    pub(super) fn publish(&self, address: Address, grant: &Grant) -> Result<(), Refusal> {
        let times = self.limits().publish_rate;
        let client = Client::of(address, grant);
        let taken = self.published.take(client, Rate::a_second(times));
        taken.map_err(|refused| {
            let rule = match refused {
                Refused::TooFast => {
                    format!("at most {times} publishes a second")
                }
                Refused::TooManyClients => "too many clients publish".to_owned(),
            };
            Refusal::new(Code::TooMany, rule)
        })
    }

    /// A place in the queue of publishes, of which so many are free.
    pub(super) fn enqueue(&self, client: Client, free: usize) -> Result<Permit<Client>, Refusal> {
        // A client with nothing queued is told that the queue is full, not that it has
        // too many.
        let limit = (QUEUE_SHARE * free).max(1);
        self.publishing.enter(client, limit).ok_or_else(|| {
            if self.publishing.is_news() {
                warn!(%client, free, "a client has the maximum number of queued publishes");
            }
            let rule = format!(
                "at most {QUEUE_SHARE} times as many queued publishes for one client as there are \
                 free places"
            );
            Refusal::new(Code::TooMany, rule)
        })
    }

    /// Logs that a publish was refused because the queue is full.
    pub(super) fn log_full_queue(&self, client: Client) {
        if self.queue_news.is_news() {
            let limit = WAITING;
            warn!(%client, limit, "the publish queue is full; a client was refused");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    #[test]
    fn a_client_has_a_share_of_the_free_places_of_the_queue() {
        let clients = Clients::new(Limits::default());
        let client = |last: u8| Client::Address(IpAddr::from([192, 0, 2, last]).into());
        let places: Vec<_> = (0..4).map(|_| clients.enqueue(client(1), 1)).collect();
        let taken = places.iter().filter(|place| place.is_ok()).count();
        assert_eq!(taken, QUEUE_SHARE);
        // The full queue refuses it, and that is logged.
        assert!(clients.enqueue(client(2), 0).is_ok());
    }
}
