//! One channel's part of the log.

use std::{collections::VecDeque, sync::Arc};

use crate::event::{Event, Footprint};

/// Capacity that is kept however few events are left.
const MIN_CAPACITY: usize = 64;

/// The events of one channel since its LISTEN first committed. A lost session does not
/// end it: a gap among the control entries marks the hole.
#[derive(Debug)]
pub(super) struct History {
    pub(super) events: VecDeque<Arc<Event>>,
    /// Sequence at which LISTEN had committed.
    pub(super) since: u64,
    /// Sequence of the newest evicted event.
    pub(super) evicted_to: u64,
    /// Bytes of the events themselves.
    pub(super) bytes: usize,
    /// Bytes of their encodings.
    pub(super) encoded: Footprint,
}

impl History {
    pub(super) fn new(since: u64, encoded: Footprint) -> Self {
        Self {
            events: VecDeque::new(),
            since,
            evicted_to: 0,
            bytes: 0,
            encoded,
        }
    }

    pub(super) fn total_bytes(&self) -> usize {
        self.bytes + self.encoded.bytes()
    }

    /// Evicts the oldest event, and releases the capacity that a burst needed:
    /// `bytes` bounds what all channels hold now, not what each has ever held.
    pub(super) fn evict(&mut self) -> Option<Arc<Event>> {
        let event = self.events.pop_front()?;
        self.evicted_to = event.id.sequence;
        let (held, room) = (self.events.len(), self.events.capacity());
        if room > MIN_CAPACITY && held < room / 4 {
            self.events.shrink_to(2 * held);
        }
        Some(event)
    }

    pub(super) fn first_after(&self, after: u64) -> usize {
        match self.events.back() {
            Some(last) if last.id.sequence > after => self
                .events
                .partition_point(|event| event.id.sequence <= after),
            _ => self.events.len(),
        }
    }

    /// The lowest cursor that is not too old.
    pub(super) fn reaches_back_to(&self, limit: usize) -> u64 {
        let beyond = self.beyond(limit).map(|event| event.id.sequence);
        beyond.unwrap_or(self.evicted_to).max(self.since)
    }

    /// The newest of the events that exceed `limit`.
    pub(super) fn beyond(&self, limit: usize) -> Option<&Event> {
        let index = self.events.len().checked_sub(limit + 1)?;
        Some(&self.events[index])
    }

    pub(super) fn holds(&self, sequence: u64) -> bool {
        sequence > self.since && sequence > self.evicted_to
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::event::{ChannelName, Encodings, Epoch, EventId, Followed, Footprint};

    fn event(epoch: Epoch, sequence: u64) -> Arc<Event> {
        Arc::new(Event {
            id: EventId { epoch, sequence },
            channel: ChannelName::new("a").unwrap(),
            payload: "".into(),
            received_at: SystemTime::UNIX_EPOCH,
            encodings: Encodings::new(Footprint::default()),
            followed: Followed::default(),
        })
    }

    #[test]
    fn after_a_burst_its_room_is_given_back() {
        let epoch = Epoch::random();
        let mut history = History::new(1, Footprint::default());
        history.events.extend((2..10_002).map(|n| event(epoch, n)));
        for left in (0..10_000).rev() {
            let gone = history.evict().unwrap();
            assert_eq!(gone.id.sequence, history.evicted_to);
            assert!(history.events.capacity() <= 4 * left + 64, "{left}");
        }
        assert!(history.evict().is_none());
    }
}
