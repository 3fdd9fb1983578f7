//! The channels whose last reader has left, those first that have waited longest.

use std::{collections::BTreeSet, time::Duration};

use tokio::time::Instant;

use super::readers::ChannelKey;

/// See the module. A look at the first costs the same however many there are: a
/// gateway whose every place is taken by such channels gives one up for each new one.
#[derive(Debug, Default)]
pub(super) struct Lingering(BTreeSet<(Instant, ChannelKey)>);

impl Lingering {
    pub(super) fn insert(&mut self, since: Instant, key: ChannelKey) {
        self.0.insert((since, key));
    }

    pub(super) fn remove(&mut self, since: Instant, key: ChannelKey) {
        self.0.remove(&(since, key));
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = ChannelKey> {
        self.0.iter().map(|&(_, key)| key)
    }

    /// One that has waited for `linger`.
    pub(super) fn expired(&self, linger: Duration, now: Instant) -> Option<ChannelKey> {
        let &(since, key) = self.0.first()?;
        (now.saturating_duration_since(since) >= linger).then_some(key)
    }
}
