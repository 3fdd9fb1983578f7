//! What the source says, taken in.

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
    /// Takes in what the source says, in order, under one lock; then wakes
    /// each reader concerned, once.
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

/// The hub, open to the source for one batch.
#[derive(Debug)]
pub struct IngestBatch<'a> {
    state: &'a mut State,
    received_at: SystemTime,
    now: Instant,
    dirty: Vec<ChannelKey>,
    all: bool,
}

impl IngestBatch<'_> {
    /// One notification. On a channel that is not, or not yet, listened to
    /// for a reader it is nobody's, and is dropped.
    pub fn notification(&mut self, notification: Notification) {
        self.followed(notification, Followed::default());
    }

    /// One notification whose way somebody follows.
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

    /// A notification that could not be decoded, of a source that goes on
    /// after it (the LISTEN source does not): for all, since its channel
    /// may be among what is unreadable.
    pub fn unreadable(&mut self) {
        self.signal(ControlEvent::Gap(GapReason::Unreadable));
    }

    /// LISTEN has committed for this wish.
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

    /// The source is lost, or suspect.
    pub fn interrupted(&mut self, since: SystemTime) {
        if self.state.source == SourceState::Live {
            self.state.source = SourceState::Interrupted { since };
            self.state.interruptions += 1;
            self.signal(ControlEvent::Interrupted { since });
        }
    }

    /// The source is proven: what was committed on the session before is
    /// committed again on the present one. `lost`: what was committed since the last session is
    /// unknown.
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

/// What every wire can say: JSON has no finer time.
fn whole_microseconds(time: SystemTime) -> SystemTime {
    let since_epoch = time
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    let pause = u64::from(since_epoch.subsec_nanos() % 1000);
    time - Duration::from_nanos(pause)
}
