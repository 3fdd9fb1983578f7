//! What a reader, or a writer, is shown of the log.

use std::{cmp::Reverse, collections::BinaryHeap, sync::Arc};

use super::{HistoryKey, Log, Mark, Signal};
use crate::{event::Event, hub::event_batch::Burst};

/// Payloads in one burst: what a client does not take of it is kept for its
/// reader, so this bounds what a slow reader costs.
const BURST_BYTES: usize = 48 << 10;

/// Events in one burst: it keeps them alive beyond the log's limits.
#[cfg(not(test))]
const BURST_EVENTS: usize = 256;

/// Few, so that the tests meet every boundary.
#[cfg(test)]
const BURST_EVENTS: usize = 3;

/// What a reader meets on its way through the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::hub) enum Entry {
    Event(Arc<Event>),
    Mark(Mark),
}

impl Entry {
    pub(in crate::hub) fn sequence(&self) -> u64 {
        match self {
            Self::Event(event) => event.id.sequence,
            Self::Mark(mark) => mark.sequence,
        }
    }
}

/// The reader asked for something that the log no longer holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::hub) struct Overtaken;

/// Each history's next event: its sequence, and where it is. The lowest first.
type Heads = BinaryHeap<Reverse<(u64, HistoryKey, usize)>>;

/// What a look at the log needs room for; kept for the next look.
#[derive(Debug, Default)]
pub(in crate::hub) struct Look {
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
        after >= self.marks_evicted_to
            && keys.all(|key| after >= self.histories[key].reaches_back_to(self.limits.events))
    }

    /// Whether there is a gap after `after`, up to and with `until`.
    pub(in crate::hub) fn has_gap(&self, after: u64, until: u64) -> bool {
        let is_gap = |mark: &&Mark| matches!(mark.signal, Signal::Gap(_));
        let mut marks = self.marks.iter().rev().filter(is_gap);
        marks.any(|mark| (after + 1..=until).contains(&mark.sequence))
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
        look: &mut Look,
    ) -> Result<(), Overtaken> {
        let Look { entries, heads } = look;
        entries.clear();
        let mut mark = self.first_mark_after(marks_after)?;
        self.find_heads(positions, heads)?;
        while entries.len() < max {
            let next_mark = self.marks.get(mark).map_or(u64::MAX, |m| m.sequence);
            let next_event = heads.peek().map_or(u64::MAX, |Reverse((s, ..))| *s);
            if next_mark.min(next_event) > until {
                break;
            }
            if next_mark < next_event {
                entries.push(Entry::Mark(self.marks[mark]));
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
    pub(in crate::hub) fn burst(&self, key: HistoryKey, looked: u64, alone: bool) -> (Burst, bool) {
        let history = &self.histories[key];
        let mark = self.marks.back().map_or(0, |mark| mark.sequence);
        let since = mark.max(self.marks_evicted_to).max(history.evicted_to);
        let since = since.max(self.barrier);
        let mut bytes = 0;
        let mut events = Vec::new();
        let mut following = history.events.range(history.first_after(looked)..);
        while bytes < BURST_BYTES
            && events.len() < BURST_EVENTS
            && let Some(event) = following.next()
        {
            bytes += event.payload.len();
            events.push(Arc::clone(event));
        }
        (Burst::new(events, since, alone), following.len() == 0)
    }

    fn first_mark_after(&self, after: u64) -> Result<usize, Overtaken> {
        if after < self.marks_evicted_to {
            return Err(Overtaken);
        }
        Ok(match self.marks.back() {
            Some(last) if last.sequence > after => {
                self.marks.partition_point(|mark| mark.sequence <= after)
            }
            _ => self.marks.len(),
        })
    }

    /// The first event after each position that has one.
    fn find_heads(
        &self,
        positions: impl Iterator<Item = (HistoryKey, u64)>,
        heads: &mut Heads,
    ) -> Result<(), Overtaken> {
        heads.clear();
        for (key, after) in positions {
            let history = &self.histories[key];
            if after < history.evicted_to {
                return Err(Overtaken);
            }
            let index = history.first_after(after);
            if let Some(event) = history.events.get(index) {
                heads.push(Reverse((event.id.sequence, key, index)));
            }
        }
        Ok(())
    }
}
