//! Limits on the number of channels, in total and per client.
//!
//! Each channel is owned by one client, until the hub gives it up. When the owner
//! leaves it, a client that reads it and is below its limit becomes the owner, so
//! that no client is refused because of channels that only others read. If all of
//! them are at their limits the owner stays: otherwise two clients, one that
//! creates channels and one that stays on them, could own any number.

use std::collections::HashSet;

use super::{ChannelKey, ReaderKey, Readers};
use crate::{
    event::ChannelName,
    hub::{channel_quota::ClientKey, log::Log},
};

/// Readers of a channel that are considered as its next owner. Keeps the time
/// under the hub's lock constant; if none of them has room, the owner stays the
/// same until the next join or leave.
const CANDIDATES: usize = 8;

/// Why no channel was created.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::hub) enum LimitReached {
    /// `max_channels`.
    Total,
    /// `max_channels_per_client`.
    Client,
    /// The caller refused the creation.
    Creation,
}

/// Channels of a join that do not exist yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewChannels {
    /// Their number.
    pub count: usize,
    /// `max_channels_per_client`.
    pub client_limit: usize,
}

impl Readers {
    /// Makes room for the new ones among `names`, which has no duplicates. At either
    /// limit the client's own idle channels are given up first, the oldest first; at
    /// the total limit then the idle channels of others. Gives up nothing if it fails.
    pub(super) fn make_room(
        &mut self,
        client: ClientKey,
        names: &[ChannelName],
        may_create: impl FnOnce(NewChannels) -> bool,
        log: &mut Log,
    ) -> Result<(), LimitReached> {
        let found = names
            .iter()
            .filter_map(|name| self.names.get(name).copied());
        let asked: HashSet<ChannelKey> = found.collect();
        let count = names.len() - asked.len();
        // A limit that was lowered does not affect existing channels.
        if count == 0 {
            return Ok(());
        }
        let client_limit = self.quota.limit;
        let own_excess = (self.quota.owned(client) + count).saturating_sub(client_limit);
        let total_excess = (self.channels.len() + count).saturating_sub(self.max_channels);
        let own = self.idle.of(client).filter(|key| !asked.contains(key));
        let mut oldest: Vec<_> = own.take(own_excess.max(total_excess)).collect();
        if oldest.len() < own_excess {
            return Err(LimitReached::Client);
        }
        let is_others = |key: ChannelKey| self.channels[key].owner != client;
        let others = self.idle.keys().filter(|&key| is_others(key));
        let others = others.filter(|key| !asked.contains(key));
        oldest.extend(others.take(total_excess.saturating_sub(oldest.len())));
        if oldest.len() < total_excess {
            return Err(LimitReached::Total);
        }
        if !may_create(NewChannels {
            count,
            client_limit,
        }) {
            return Err(LimitReached::Creation);
        }
        for key in oldest {
            self.give_up(key, log);
        }
        Ok(())
    }

    /// Makes this reader's client the owner, if no reader of the present owner is
    /// known and the client has room. Returns whether such a reader is known now.
    pub(super) fn offer(&mut self, key: ChannelKey, reader: ReaderKey) -> bool {
        let (channel, client) = (&mut self.channels[key], self.places[reader].client);
        if channel.owning_reader.is_some() {
            return true;
        }
        if channel.owner != client {
            if !self.quota.has_room(client) {
                return false;
            }
            self.quota.remove(channel.owner);
            self.quota.add(client);
        }
        (channel.owner, channel.owning_reader) = (client, Some(reader));
        true
    }

    /// Offers the channel to some of its readers.
    pub(super) fn find_owner(&mut self, key: ChannelKey) {
        let channel = &self.channels[key];
        if channel.owning_reader.is_none() {
            let candidates: Vec<_> = channel.readers().take(CANDIDATES).collect();
            candidates.into_iter().any(|reader| self.offer(key, reader));
        }
    }

    /// Assigns the reader, which reads `keys`, to another client.
    pub(in crate::hub) fn change_client(
        &mut self,
        reader: ReaderKey,
        client: ClientKey,
        keys: impl Iterator<Item = ChannelKey>,
    ) {
        self.places[reader].client = client;
        for key in keys {
            let channel = &mut self.channels[key];
            if channel.owning_reader == Some(reader) && channel.owner != client {
                channel.owning_reader = None;
            }
            self.find_owner(key);
        }
    }

    /// The number of channels of this client; checks the bookkeeping.
    #[cfg(test)]
    pub(in crate::hub) fn owned(&self, client: ClientKey) -> usize {
        let channels = self.channels.iter().map(|(_, channel)| channel);
        let owned: Vec<_> = channels.filter(|c| c.owner == client).collect();
        let idle = owned.iter().filter(|channel| channel.idle_since.is_some());
        assert_eq!(self.idle.of(client).count(), idle.count());
        assert_eq!(self.quota.owned(client), owned.len());
        owned.len()
    }
}
