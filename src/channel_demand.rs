//! LISTEN requests: written by the hub, read by the source.
//!
//! Neither depends on the other. Every request has a generation, which the
//! source's answer names. This distinguishes the answer to an older request for
//! the same channel, given before an UNLISTEN in between, from the current one.

use std::{
    collections::HashMap,
    mem,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::Notify;

use crate::event::ChannelName;

/// Identifies one request for a channel; rises, never used twice.
pub type Generation = u64;

/// Number of new channels that the same join asked for before this one: a join
/// with few channels need not wait for one with many.
pub type Rank = u32;

/// Latest request for a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListenRequest {
    /// The channel has a reader: LISTEN, and answer with this generation.
    Listen(Generation, Rank),
    /// The hub gave the channel up: no reader for the linger time, or a new channel
    /// needed its place. UNLISTEN.
    Unlisten,
}

/// Requests that the source has not taken yet, the newest for each channel.
///
/// Bounded by the hub's `max_channels` and the channels it gave up since the
/// source last took them: after each round trip, or at once without a session. A new
/// session first repeats its LISTENs.
#[derive(Debug, Clone, Default)]
pub struct Demand {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    wishes: Mutex<HashMap<ChannelName, ListenRequest>>,
    changed: Notify,
}

impl Demand {
    /// Replaces an untaken request for the same channel.
    pub fn wish(&self, channel: ChannelName, wish: ListenRequest) {
        self.lock().insert(channel, wish);
        self.shared.changed.notify_one();
    }

    /// Waits until there is a request, then takes them all. For one caller.
    ///
    /// Cancel-safe: requests are taken only when they are returned.
    pub async fn changed(&self) -> HashMap<ChannelName, ListenRequest> {
        loop {
            let wishes = mem::take(&mut *self.lock());
            if !wishes.is_empty() {
                return wishes;
            }
            self.shared.changed.notified().await;
        }
    }

    /// Between lock and unlock only an allocation could panic, and the map is
    /// consistent at every point.
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<ChannelName, ListenRequest>> {
        self.shared
            .wishes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_last_wish_counts() {
        let demand = Demand::default();
        let channel = ChannelName::new("a").unwrap();
        demand.wish(channel.clone(), ListenRequest::Listen(1, 0));
        demand.wish(channel.clone(), ListenRequest::Unlisten);
        demand.wish(channel.clone(), ListenRequest::Listen(2, 0));
        let taken = demand.changed().await;
        assert_eq!(
            taken,
            HashMap::from([(channel, ListenRequest::Listen(2, 0))])
        );
    }

    #[tokio::test]
    async fn a_wish_made_while_waiting_wakes_the_source() {
        let demand = Demand::default();
        let channel = ChannelName::new("a").unwrap();
        let (taken, ()) = tokio::join!(demand.changed(), async {
            tokio::task::yield_now().await;
            demand.wish(channel.clone(), ListenRequest::Unlisten);
        });
        assert_eq!(taken, HashMap::from([(channel, ListenRequest::Unlisten)]));
    }
}
