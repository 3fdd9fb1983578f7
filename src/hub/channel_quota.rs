//! Number of channels that each client owns.

use std::collections::HashMap;

/// Identifies a client. Opaque to the hub: the transport derives it from a token
/// or an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClientKey([u8; 17]);

impl ClientKey {
    /// `kind` keeps ids of different kinds apart.
    pub fn new(kind: u8, id: [u8; 16]) -> Self {
        let mut key = [kind; 17];
        key[1..].copy_from_slice(&id);
        Self(key)
    }
}

#[cfg(test)]
pub(crate) const CLIENT: ClientKey = ClientKey([0; 17]);

/// Counts owned channels by client. Bounded by the number of channels: a client
/// without a channel has no entry.
#[derive(Debug)]
pub(super) struct ChannelQuota {
    owned: HashMap<ClientKey, usize>,
    pub(super) limit: usize,
}

impl ChannelQuota {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            owned: HashMap::new(),
            limit,
        }
    }

    pub(super) fn owned(&self, client: ClientKey) -> usize {
        self.owned.get(&client).copied().unwrap_or(0)
    }

    pub(super) fn has_room(&self, client: ClientKey) -> bool {
        self.owned(client) < self.limit
    }

    pub(super) fn add(&mut self, client: ClientKey) {
        *self.owned.entry(client).or_default() += 1;
    }

    pub(super) fn remove(&mut self, client: ClientKey) {
        if let Some(count) = self.owned.get_mut(&client) {
            *count -= 1;
            if *count == 0 {
                self.owned.remove(&client);
            }
        }
    }
}
