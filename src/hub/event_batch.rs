//! What came on one channel since it was last looked at.

use std::{
    sync::{Arc, OnceLock},
    time::SystemTime,
};

use bytes::{Bytes, BytesMut};
use tokio::time::Instant;

use crate::event::{Event, FORMS, Form};

/// Events of one channel, oldest first, that follow one another there.
#[derive(Debug)]
pub struct EventBatch {
    events: Vec<Arc<Event>>,
    /// Before this place stands what is not among the events: a mark, an event
    /// that has left, or a barrier.
    since: u64,
    until: u64,
    at: Instant,
    /// No other channel had anything at this time.
    alone: bool,
    /// Somebody follows one of the events.
    followed: bool,
    /// All events in one piece, where there are several.
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

    /// The place of its last event.
    pub(super) fn until(&self) -> u64 {
        self.until
    }

    /// Whether all of it, and nothing else, is what comes next to a reader of
    /// so many channels that has had everything up to `position`.
    pub(super) fn is_next_for(&self, position: u64, channels: u32) -> bool {
        let first = self.events.first().map_or(0, |event| event.id.sequence);
        position >= self.since && position < first && (self.alone || channels == 1)
    }

    pub(super) fn len(&self) -> u64 {
        self.events.len() as u64
    }

    /// When the first of its events was received.
    pub(super) fn received_at(&self) -> SystemTime {
        let first = self.events.first();
        first.map_or(SystemTime::UNIX_EPOCH, |event| event.received_at)
    }

    /// Readers were given it, just now.
    pub(super) fn given(&self) {
        if self.followed {
            self.events.iter().for_each(|event| event.followed.given());
        }
    }

    /// When it was looked up.
    pub fn at(&self) -> Instant {
        self.at
    }

    /// All events in this form, in one piece; each by `encode` where nobody
    /// has made it.
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
