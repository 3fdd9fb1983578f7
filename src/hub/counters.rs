//! What the hub counts beside its work. Events are counted under its lock;
//! deliveries by whoever makes them, for a whole burst or turn at once.

use std::time::{Duration, SystemTime};

use super::event_batch::EventBatch;
use crate::{
    event::{Event, FollowedTurn, GAP_REASONS, GapReason, WIRES, WireName},
    instruments::{Counts, Histogram},
};

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Counters {
    /// Events given to readers, by wire.
    pub(super) deliveries: Counts<WIRES>,
    /// Gaps given to readers, by reason.
    pub(super) gaps: Counts<GAP_REASONS>,
    /// Cursors that were honoured, and those that were answered by a gap.
    pub(super) resumes: Counts<2>,
    /// From receipt to delivery.
    pub(super) latency: Histogram,
}

impl Counters {
    pub(super) fn gap(&self, reason: GapReason) {
        self.gaps.add(reason as usize, 1);
    }

    pub(super) fn resume(&self, is_hit: bool) {
        self.resumes.add(usize::from(!is_hit), 1);
    }

    /// Deliveries of a burst, made just now: each counts as if it was of the
    /// oldest event, and the last.
    pub(super) fn given(&self, counts: [u64; WIRES], batch: &EventBatch) {
        let count = counts.iter().sum();
        if count > 0 {
            self.deliveries.add_all(counts);
            self.latency.observe(since(batch.received_at()), count);
            batch.given();
        }
    }
}

/// A clock that was set back makes it nothing.
fn since(time: SystemTime) -> Duration {
    SystemTime::now().duration_since(time).unwrap_or_default()
}

/// Of one reader, what it has read from the log since it last rested.
#[derive(Debug, Default)]
pub(super) struct DeliveryTally {
    events: u32,
    /// Of those, the ones that came while it was there.
    live: u32,
    /// When the first of those came.
    oldest: Option<SystemTime>,
    followed: FollowedTurn,
}

impl DeliveryTally {
    /// A reader that never rests is counted so often.
    const MAX: u32 = 256;

    /// `joined_at`: what came before it is replayed, and late by itself.
    /// Whether the turn is to be counted now.
    pub(super) fn delivered(&mut self, event: &Event, joined_at: Option<u64>) -> bool {
        self.events += 1;
        self.followed.push(&event.followed);
        if joined_at.is_some_and(|at| event.id.sequence > at) {
            self.live += 1;
            self.oldest.get_or_insert(event.received_at);
        }
        self.events >= Self::MAX
    }

    pub(super) fn count(&mut self, wire: WireName, counters: &Counters) {
        if self.events == 0 {
            return;
        }
        let tally = std::mem::take(self);
        counters
            .deliveries
            .add(wire as usize, u64::from(tally.events));
        if let Some(oldest) = tally.oldest {
            let live = u64::from(tally.live);
            counters.latency.observe(since(oldest), live);
        }
        tally.followed.given();
    }
}
