//! Idle channels, by the time when the last reader left, oldest first.

use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use tokio::time::Instant;

use super::{channel_quota::ClientKey, readers::ChannelKey};

type ByAge = BTreeSet<(Instant, ChannelKey)>;

/// Two ordered sets, so that finding the oldest, in total or of one client, does
/// not depend on their number: at the limit each new channel needs it.
#[derive(Debug, Default)]
pub(super) struct IdleChannels {
    all: ByAge,
    clients: HashMap<ClientKey, ByAge>,
}

impl IdleChannels {
    pub(super) fn insert(&mut self, client: ClientKey, since: Instant, key: ChannelKey) {
        self.all.insert((since, key));
        self.clients.entry(client).or_default().insert((since, key));
    }

    pub(super) fn remove(&mut self, client: ClientKey, since: Instant, key: ChannelKey) {
        self.all.remove(&(since, key));
        if let Some(its) = self.clients.get_mut(&client) {
            its.remove(&(since, key));
            if its.is_empty() {
                self.clients.remove(&client);
            }
        }
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = ChannelKey> {
        self.all.iter().map(|&(_, key)| key)
    }

    /// Channels owned by this client, oldest first.
    pub(super) fn of(&self, client: ClientKey) -> impl Iterator<Item = ChannelKey> {
        let its = self.clients.get(&client).into_iter().flatten();
        its.map(|&(_, key)| key)
    }

    /// A channel that has been idle for `linger`.
    pub(super) fn expired(&self, linger: Duration, now: Instant) -> Option<ChannelKey> {
        let &(since, key) = self.all.first()?;
        (now.saturating_duration_since(since) >= linger).then_some(key)
    }
}
