//! Counters of the hub. Events are counted under its lock; deliveries by the
//! reader or worker that makes them, a whole batch or tally at once.

use std::time::{Duration, SystemTime};

use super::event_batch::EventBatch;
use crate::{
    event::{Event, FollowedTurn, GAP_REASONS, GapReason, WIRES, WireName},
    instruments::{Counts, Histogram},
};

/// Lock-free counters of the hub.
#[derive(Debug, Default)]
pub(super) struct Counters {
    /// Events delivered to readers, by transport.
    pub(super) deliveries: Counts<WIRES>,
    /// Gaps delivered to readers, by reason.
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

    /// Counts deliveries of a batch made just now. Each counts with the highest
    /// latency: from the oldest event to the last delivery.
    pub(super) fn given(&self, counts: [u64; WIRES], batch: &EventBatch) {
        let count = counts.iter().sum();
        if count > 0 {
            self.deliveries.add_all(counts);
            self.latency.observe(since(batch.received_at()), count);
            batch.given();
        }
    }
}

/// Zero if the clock was set back.
fn since(time: SystemTime) -> Duration {
    SystemTime::now().duration_since(time).unwrap_or_default()
}

/// Events that one reader has read from the log and that are not counted yet.
#[derive(Debug, Default)]
pub(super) struct DeliveryTally {
    events: u32,
    /// The part of them that was received after it joined.
    live: u32,
    /// When the first of those was received.
    oldest: Option<SystemTime>,
    followed: FollowedTurn,
}

impl DeliveryTally {
    /// Events after which a reader that never waits is counted.
    const MAX: u32 = 256;

    /// Events before `joined_at` are replayed, so their latency is not measured.
    /// Returns whether to count now.
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
