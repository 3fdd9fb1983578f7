//! New events of one channel, written to all its slots.

use std::{
    sync::{Arc, OnceLock},
    time::SystemTime,
};

use bytes::{Bytes, BytesMut};
use tokio::time::Instant;

use crate::event::{Event, FORMS, Form};

/// Consecutive events of one channel, oldest first.
#[derive(Debug)]
pub struct EventBatch {
    events: Vec<Arc<Event>>,
    /// Sequence of the newest entry that is not in `events`: a control entry, an evicted
    /// event or a barrier.
    since: u64,
    until: u64,
    at: Instant,
    /// No other channel had new events at this time.
    alone: bool,
    /// A follower observes one of the events.
    followed: bool,
    /// All events in one buffer, if there are several.
    joined: [OnceLock<Bytes>; FORMS],
}

impl EventBatch {
    pub(super) fn new(events: Vec<Arc<Event>>, since: u64, alone: bool) -> Self {
        let until = events.last().map_or(since, |event| event.id.sequence);
        let followed = events.iter().any(|event| event.followed.is_followed());
        Self {
            followed,
            events,
            since,
            until,
            at: Instant::now(),
            alone,
            joined: Default::default(),
        }
    }

    #[cfg(test)]
    pub(super) fn events(&self) -> &[Arc<Event>] {
        &self.events
    }

    /// Sequence of the last event.
    pub(super) fn until(&self) -> u64 {
        self.until
    }

    /// Whether the whole batch, and nothing else, comes next for a reader of
    /// this number of channels that has received everything up to `position`.
    pub(super) fn is_next_for(&self, position: u64, channels: u32) -> bool {
        let first = self.events.first().map_or(0, |event| event.id.sequence);
        position >= self.since && position < first && (self.alone || channels == 1)
    }

    pub(super) fn len(&self) -> u64 {
        self.events.len() as u64
    }

    /// When the first event was received.
    pub(super) fn received_at(&self) -> SystemTime {
        let first = self.events.first();
        first.map_or(SystemTime::UNIX_EPOCH, |event| event.received_at)
    }

    /// The batch was just delivered to readers.
    pub(super) fn given(&self) {
        if self.followed {
            self.events.iter().for_each(|event| event.followed.given());
        }
    }

    /// When the batch was read from the log.
    pub fn at(&self) -> Instant {
        self.at
    }

    /// All events in this form, in one buffer; each is encoded by `encode` unless
    /// its encoding exists.
    pub fn bytes(&self, form: Form, encode: fn(&Arc<Event>) -> Bytes) -> &Bytes {
        let encoded = |event| Event::encoded(event, form, encode);
        if let [event] = self.events.as_slice() {
            return encoded(event);
        }
        self.joined[form as usize].get_or_init(|| {
            let mut joined = BytesMut::new();
            for event in &self.events {
                joined.extend_from_slice(encoded(event));
            }
            joined.freeze()
        })
    }
}
