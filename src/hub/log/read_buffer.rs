//! Reads of the log, by a reader or a fan-out worker.

use std::{cmp::Reverse, collections::BinaryHeap, sync::Arc};

use super::{ControlEntry, ControlEvent, HistoryKey, Log};
use crate::{event::Event, hub::event_batch::EventBatch};

/// Payload bytes of one event batch: the part that a client does not accept is
/// kept for its reader, so this bounds the memory of a slow reader.
const BATCH_BYTES: usize = 48 << 10;

/// Events of one event batch, which keeps them alive beyond the log's limits.
#[cfg(not(test))]
const BATCH_EVENTS: usize = 256;

/// Few, so that the tests meet every boundary.
#[cfg(test)]
const BATCH_EVENTS: usize = 3;

/// One entry of the log, as a reader reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::hub) enum Entry {
    Event(Arc<Event>),
    Control(ControlEntry),
}

impl Entry {
    pub(in crate::hub) fn sequence(&self) -> u64 {
        match self {
            Self::Event(event) => event.id.sequence,
            Self::Control(mark) => mark.sequence,
        }
    }
}

/// The log no longer holds something that the reader has not read yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::hub) struct Lagged;

/// The next event of each history: its sequence and its index. Lowest first.
type Heads = BinaryHeap<Reverse<(u64, HistoryKey, usize)>>;

/// Buffers for a read of the log; reused for the next read.
#[derive(Debug, Default)]
pub(in crate::hub) struct ReadBuffer {
    pub(in crate::hub) entries: Vec<Entry>,
    heads: Heads,
}

impl Log {
    /// Whether the log holds everything that a reader of `keys` needs after
    /// `after`.
    pub(in crate::hub) fn covers(
        &self,
        mut keys: impl Iterator<Item = HistoryKey>,
        after: u64,
    ) -> bool {
        after >= self.controls_evicted_to
            && keys.all(|key| after >= self.histories[key].reaches_back_to(self.limits.events))
    }

    /// Whether there is a gap after `after`, up to and including `until`.
    pub(in crate::hub) fn has_gap(&self, after: u64, until: u64) -> bool {
        let is_gap = |mark: &&ControlEntry| matches!(mark.signal, ControlEvent::Gap(_));
        let mut controls = self.controls.iter().rev().filter(is_gap);
        controls.any(|mark| (after + 1..=until).contains(&mark.sequence))
    }

    /// Reads, in order, the control entries after `marks_after` and the events
    /// after each given position, up to and including `until`: at most `max`
    /// entries.
    ///
    /// # Errors
    /// Something that should have been read was evicted.
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
                entries.push(Entry::Control(self.controls[mark]));
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

    /// Events of one channel after `looked`, at most as many as one write may
    /// hold, and whether these are all.
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

    /// The first event after each position, if there is one.
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
