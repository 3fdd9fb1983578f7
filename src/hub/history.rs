//! One channel's part of the log.

use std::{collections::VecDeque, sync::Arc};

use crate::event::Event;

/// The events of one channel, since it has been listened to without a break.
#[derive(Debug)]
pub(super) struct History {
    pub(super) events: VecDeque<Arc<Event>>,
    /// Its own beginning, when LISTEN had committed.
    pub(super) since: u64,
    /// The newest event that left.
    pub(super) evicted_to: u64,
}

impl History {
    pub(super) fn first_after(&self, after: u64) -> usize {
        match self.events.back() {
            Some(last) if last.id.sequence > after => self
                .events
                .partition_point(|event| event.id.sequence <= after),
            _ => self.events.len(),
        }
    }

    /// Cursors below this one are too old.
    pub(super) fn reaches_back_to(&self, limit: usize) -> u64 {
        let beyond = self.beyond(limit).map(|event| event.id.sequence);
        beyond.unwrap_or(self.evicted_to).max(self.since)
    }

    /// The newest event of those that are more than `limit`.
    pub(super) fn beyond(&self, limit: usize) -> Option<&Event> {
        let index = self.events.len().checked_sub(limit + 1)?;
        Some(&self.events[index])
    }

    pub(super) fn holds(&self, sequence: u64) -> bool {
        sequence > self.since && sequence > self.evicted_to
    }
}
