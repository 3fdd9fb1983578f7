//! What a reader, or a writer, is shown of the log.

use std::{cmp::Reverse, collections::BinaryHeap, sync::Arc};

use super::{ControlEntry, ControlEvent, HistoryKey, Log};
use crate::{event::Event, hub::event_batch::EventBatch};

/// Payloads in one burst: what a client does not take of it is kept for its
/// reader, so this bounds what a slow reader costs.
const BATCH_BYTES: usize = 48 << 10;

/// Events in one burst: it keeps them alive beyond the log's limits.
#[cfg(not(test))]
const BATCH_EVENTS: usize = 256;

/// Few, so that the tests meet every boundary.
#[cfg(test)]
const BATCH_EVENTS: usize = 3;

/// What a reader meets on its way through the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::hub) enum Entry {
    Event(Arc<Event>),
    ControlEntry(ControlEntry),
}

impl Entry {
    pub(in crate::hub) fn sequence(&self) -> u64 {
        match self {
            Self::Event(event) => event.id.sequence,
            Self::ControlEntry(mark) => mark.sequence,
        }
    }
}

/// The reader asked for something that the log no longer holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::hub) struct Lagged;

/// Each history's next event: its sequence, and where it is. The lowest first.
type Heads = BinaryHeap<Reverse<(u64, HistoryKey, usize)>>;

/// What a look at the log needs room for; kept for the next look.
#[derive(Debug, Default)]
pub(in crate::hub) struct ReadBuffer {
    pub(in crate::hub) entries: Vec<Entry>,
    heads: Heads,
}

impl Log {
    /// Whether a reader of `keys` that has seen everything up to `after` can
    /// be given all that followed.
    pub(in crate::hub) fn covers(
        &self,
        mut keys: impl Iterator<Item = HistoryKey>,
        after: u64,
    ) -> bool {
        after >= self.controls_evicted_to
            && keys.all(|key| after >= self.histories[key].reaches_back_to(self.limits.events))
    }

    /// Whether there is a gap after `after`, up to and with `until`.
    pub(in crate::hub) fn has_gap(&self, after: u64, until: u64) -> bool {
        let is_gap = |mark: &&ControlEntry| matches!(mark.signal, ControlEvent::Gap(_));
        let mut controls = self.controls.iter().rev().filter(is_gap);
        controls.any(|mark| (after + 1..=until).contains(&mark.sequence))
    }

    /// Looks, in order, at what follows `marks_after` among the marks and each
    /// given position among the events, up to and with `until`: at most `max`
    /// entries.
    ///
    /// # Errors
    /// Something that should have been read has left.
    pub(in crate::hub) fn read(
        &self,
        positions: impl Iterator<Item = (HistoryKey, u64)>,
        marks_after: u64,
        until: u64,
        max: usize,
        look: &mut ReadBuffer,
    ) -> Result<(), Lagged> {
        let ReadBuffer { entries, heads } = look;
        entries.clear();
        let mut mark = self.first_control_after(marks_after)?;
        self.find_heads(positions, heads)?;
        while entries.len() < max {
            let next_mark = self.controls.get(mark).map_or(u64::MAX, |m| m.sequence);
            let next_event = heads.peek().map_or(u64::MAX, |Reverse((s, ..))| *s);
            if next_mark.min(next_event) > until {
                break;
            }
            if next_mark < next_event {
                entries.push(Entry::ControlEntry(self.controls[mark]));
                mark += 1;
            } else if let Some(Reverse((_, key, index))) = heads.pop() {
                let events = &self.histories[key].events;
                entries.push(Entry::Event(Arc::clone(&events[index])));
                if let Some(next) = events.get(index + 1) {
                    heads.push(Reverse((next.id.sequence, key, index + 1)));
                }
            }
        }
        Ok(())
    }

    /// What came on one channel after `looked`, as much as one write may hold,
    /// and whether that is all.
    pub(in crate::hub) fn batch(
        &self,
        key: HistoryKey,
        looked: u64,
        alone: bool,
    ) -> (EventBatch, bool) {
        let history = &self.histories[key];
        let mark = self.controls.back().map_or(0, |mark| mark.sequence);
        let since = mark.max(self.controls_evicted_to).max(history.evicted_to);
        let since = since.max(self.barrier);
        let mut bytes = 0;
        let mut events = Vec::new();
        let mut following = history.events.range(history.first_after(looked)..);
        while bytes < BATCH_BYTES
            && events.len() < BATCH_EVENTS
            && let Some(event) = following.next()
        {
            bytes += event.payload.len();
            events.push(Arc::clone(event));
        }
        (EventBatch::new(events, since, alone), following.len() == 0)
    }

    fn first_control_after(&self, after: u64) -> Result<usize, Lagged> {
        if after < self.controls_evicted_to {
            return Err(Lagged);
        }
        Ok(match self.controls.back() {
            Some(last) if last.sequence > after => {
                self.controls.partition_point(|mark| mark.sequence <= after)
            }
            _ => self.controls.len(),
        })
    }

    /// The first event after each position that has one.
    fn find_heads(
        &self,
        positions: impl Iterator<Item = (HistoryKey, u64)>,
        heads: &mut Heads,
    ) -> Result<(), Lagged> {
        heads.clear();
        for (key, after) in positions {
            let history = &self.histories[key];
            if after < history.evicted_to {
                return Err(Lagged);
            }
            let index = history.first_after(after);
            if let Some(event) = history.events.get(index) {
                heads.push(Reverse((event.id.sequence, key, index)));
            }
        }
        Ok(())
    }
}
