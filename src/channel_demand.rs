//! Which channels are wanted: written by the hub, followed by the source.
//!
//! Neither knows the other. Every wish has a generation, and the source's
//! answer names it: an answer to an older wish of the same channel, given
//! before an UNLISTEN in between, is told from the one that counts.

use std::{
    collections::HashMap,
    mem,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::Notify;

use crate::event::ChannelName;

/// Names one wish for a channel; rises, never used twice.
pub type Generation = u64;

/// How many channels that nobody had the same request asks for before this one:
/// who asks for few is not to wait for who asks for many.
pub type Rank = u32;

/// What became of a channel since the source last looked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListenRequest {
    /// Somebody reads it: LISTEN, and answer with this generation.
    Listen(Generation, Rank),
    /// Nobody has read it for the linger time: UNLISTEN.
    Unlisten,
}

/// The wishes not yet taken, the newest for each channel.
///
/// Bounded by the hub's `max_channels` and the channels it gave up since the
/// source last looked, which it does after each round trip, connected or not.
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
    /// Replaces an untaken wish for the same channel: only the last counts.
    pub fn wish(&self, channel: ChannelName, wish: ListenRequest) {
        self.lock().insert(channel, wish);
        self.shared.changed.notify_one();
    }

    /// Waits until there is a wish, then takes them all. For one caller.
    ///
    /// Cancel-safe: what was not returned was not taken.
    pub async fn changed(&self) -> HashMap<ChannelName, ListenRequest> {
        loop {
            let wishes = mem::take(&mut *self.lock());
            if !wishes.is_empty() {
                return wishes;
            }
            self.shared.changed.notified().await;
        }
    }

    /// A panic between lock and unlock is impossible but for allocation, and
    /// the map is whole at every point.
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
