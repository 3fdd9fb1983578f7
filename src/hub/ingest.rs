//! Applies what the source reports.

use std::{
    task::Waker,
    time::{Duration, SystemTime},
};

use tokio::time::Instant;

use super::{Hub, SourceState, State, log::ControlEvent, readers::ChannelKey};
use crate::{
    channel_demand::Generation,
    event::{ChannelName, Followed, GapReason, Health, Notification},
};

impl Hub {
    /// Applies a batch of the source's items, in order, under one lock; then
    /// wakes each reader concerned, once.
    pub fn ingest(&self, take_in: impl FnOnce(&mut IngestBatch<'_>)) {
        let mut state = self.lock();
        let mut intake = IngestBatch {
            state: &mut state,
            received_at: whole_microseconds(SystemTime::now()),
            now: Instant::now(),
            dirty: Vec::new(),
            all: false,
        };
        take_in(&mut intake);
        let wakers = intake.wakers();
        self.tell_readiness(&state);
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }
}

/// Access of the source to the hub for one batch.
#[derive(Debug)]
pub struct IngestBatch<'a> {
    state: &'a mut State,
    received_at: SystemTime,
    now: Instant,
    dirty: Vec<ChannelKey>,
    all: bool,
}

impl IngestBatch<'_> {
    /// One notification. It is dropped if its channel is not, or not yet,
    /// listened to for a reader.
    pub fn notification(&mut self, notification: Notification) {
        self.followed(notification, Followed::default());
    }

    /// One notification that may have a follower.
    pub fn followed(&mut self, notification: Notification, followed: Followed) {
        let State { log, readers, .. } = &mut *self.state;
        let Some((channel, history, name)) = readers.notified(&notification.channel) else {
            self.state.unmatched += 1;
            return;
        };
        let (name, payload) = (name.clone(), notification.payload);
        if followed.is_followed() {
            let (next, count) = (log.id(log.head() + 1), readers.of(channel));
            followed.taken_in(next, self.received_at, count);
        }
        let (received_at, now) = (self.received_at, self.now);
        log.append(history, name, payload, received_at, now, followed);
        if self.dirty.last() != Some(&channel) {
            self.dirty.push(channel);
        }
    }

    /// A notification that could not be decoded, from a source that continues
    /// after it. No source emits it yet; the LISTEN source ends its session. A gap for all readers, since its
    /// channel may be unreadable too.
    pub fn unreadable(&mut self) {
        self.signal(ControlEvent::Gap(GapReason::Unreadable));
    }

    /// LISTEN has committed for this request.
    pub fn listening(&mut self, name: &ChannelName, generation: Generation) {
        let State { log, readers, .. } = &mut *self.state;
        let channel = readers.committed(name, generation, log);
        self.dirty.extend(channel);
    }

    /// PostgreSQL cannot listen to this name.
    pub fn refused(&mut self, name: &ChannelName, generation: Generation) {
        let channel = self.state.readers.refused(name, generation);
        self.dirty.extend(channel);
    }

    /// The health that the source reports.
    pub fn health(&mut self, health: Health) {
        self.state.health = health;
    }

    /// The source has lost its session.
    pub fn interrupted(&mut self, since: SystemTime) {
        if self.state.source == SourceState::Live {
            self.state.source = SourceState::Interrupted { since };
            self.state.interruptions += 1;
            self.signal(ControlEvent::Interrupted { since });
        }
    }

    /// The source is proven to deliver: the LISTENs of the previous session are
    /// committed again on the present one. `lost`: transactions committed since
    /// the previous session may be missing.
    pub fn live(&mut self, lost: bool) {
        if lost {
            self.signal(ControlEvent::Gap(GapReason::SourceLost));
        }
        if let SourceState::Interrupted { .. } = self.state.source {
            self.signal(ControlEvent::Live);
        }
        if self.state.source != SourceState::Live {
            self.state.source_since = SystemTime::now();
        }
        self.state.source = SourceState::Live;
        self.all = true;
    }

    fn signal(&mut self, signal: ControlEvent) {
        self.state.log.mark(signal);
        self.all = true;
    }

    fn wakers(mut self) -> Vec<Waker> {
        let mut wakers = Vec::new();
        let State {
            readers, queues, ..
        } = self.state;
        self.dirty.sort_unstable();
        self.dirty.dedup();
        for &channel in &self.dirty {
            queues.mark_dirty(channel, readers.workers(channel), &mut wakers);
        }
        if self.all {
            readers.wake_all(&mut wakers);
        } else {
            for channel in self.dirty {
                readers.wake(channel, &mut wakers);
            }
        }
        wakers
    }
}

/// The resolution that every transport has: JSON has no finer time.
fn whole_microseconds(time: SystemTime) -> SystemTime {
    let since_epoch = time
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    let beyond = u64::from(since_epoch.subsec_nanos() % 1000);
    time - Duration::from_nanos(beyond)
}
