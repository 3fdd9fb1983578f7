//! The stream, free of any transport: numbers the notifications, remembers
//! them for a while, and wakes the readers of their channels, or has a
//! [`Writer`] serve them where they sleep.
//!
//! One lock guards all of it; it is held for a batch of notifications or for
//! one reader's look at the log, never over an `await`. The order under it is
//! the order every reader sees.

mod burst;
mod counters;
mod delivery;
mod history;
mod join;
mod log;
mod reader;
mod readers;
mod seat;
mod subscription;
#[cfg(test)]
mod tests;
mod view;
mod writer;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::Waker,
    time::{Duration, SystemTime},
};

use tokio::{sync::watch, time::Instant};

use crate::{
    demand::{Demand, Generation},
    event::{ChannelName, Epoch, Followed, GapReason, Notification, WireName},
};
pub use burst::Burst;
use counters::Counters;
pub use delivery::{Cursor, Delivery};
pub use log::Limits;
use log::{Log, Look, Signal};
use readers::{ChannelKey, Readers};
pub use seat::{Outlet, Seat};
pub use subscription::{Ended, JoinError, Subscription};
pub use view::{ChannelView, SourceView, View};
use writer::Inboxes;
pub use writer::Writer;

/// Above this part of the cluster's notification queue the gateway is not
/// ready: some listener has stopped reading, and at 1 every transaction that
/// notifies fails.
const MAX_QUEUE_USAGE: f64 = 0.25;

/// The hub's settings. Every number is a bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// What the log may hold.
    pub history: Limits,
    /// How long a channel stays listened to after its last reader left, so
    /// that a reconnect can resume.
    pub linger: Duration,
    /// How long a new subscription waits for the source.
    pub subscribe_timeout: Duration,
    /// Readers at one time; the next is refused.
    pub max_readers: usize,
    /// Channels listened to at one time; the next is refused.
    pub max_channels: usize,
    /// Channels of one reader; the next is refused.
    pub max_channels_per_reader: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            history: Limits {
                events: 1024,
                bytes: 64 << 20,
                age: Duration::from_secs(600),
            },
            linger: Duration::from_secs(60),
            subscribe_timeout: Duration::from_secs(10),
            max_readers: 100_000,
            max_channels: 10_000,
            max_channels_per_reader: 128,
        }
    }
}

/// Why there is no new reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SubscribeError {
    /// `max_readers` are there already.
    #[error("the gateway has as many readers as it may have")]
    TooMany,
    /// The hub is closed.
    #[error("the gateway is shutting down")]
    ShuttingDown,
}

/// A handle on the one hub. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Hub {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    ready: watch::Sender<bool>,
    counters: Counters,
}

#[derive(Debug)]
struct State {
    config: Config,
    log: Log,
    readers: Readers,
    inboxes: Inboxes,
    source: SourceState,
    /// When it began to be so.
    source_since: SystemTime,
    interruptions: u64,
    /// Notifications that were nobody's.
    unclaimed: u64,
    /// `None` is unknown.
    queue_usage: Option<f64>,
    closing: bool,
    /// Taken out while a reader looks at the log.
    look: Look,
}

impl State {
    fn is_ready(&self) -> bool {
        let has_room = self
            .queue_usage
            .is_some_and(|usage| usage <= MAX_QUEUE_USAGE);
        self.source == SourceState::Live && has_room && !self.closing
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SourceState {
    /// Nothing was heard of it yet.
    Starting,
    Live,
    Interrupted {
        since: SystemTime,
    },
}

impl Hub {
    /// An empty hub, in a new epoch. What it wants from a source it writes to
    /// `demand`.
    pub fn new(config: Config, demand: Demand) -> Self {
        let state = State {
            config,
            log: Log::new(Epoch::random(), config.history),
            readers: Readers::new(demand, config.max_channels),
            inboxes: Inboxes::default(),
            source: SourceState::Starting,
            source_since: SystemTime::now(),
            interruptions: 0,
            unclaimed: 0,
            queue_usage: Some(0.0),
            closing: false,
            look: Look::default(),
        };
        let shared = Shared {
            state: Mutex::new(state),
            ready: watch::Sender::new(false),
            counters: Counters::default(),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// A new reader by this wire, that has no channel yet.
    ///
    /// # Errors
    /// There are as many as may be, or the hub is closed.
    pub fn subscribe(&self, wire: WireName) -> Result<Subscription, SubscribeError> {
        let mut state = self.lock();
        if state.closing {
            return Err(SubscribeError::ShuttingDown);
        }
        if state.readers.count() >= state.config.max_readers {
            return Err(SubscribeError::TooMany);
        }
        let reader = state.readers.enter(wire);
        drop(state);
        Ok(Subscription::new(self.clone(), reader, wire))
    }

    /// Sets other bounds. Who is there stays, and channels that are listened
    /// to; what the log holds beyond them leaves as ever.
    pub fn reload(&self, config: Config) {
        let mut state = self.lock();
        state.config = config;
        state.log.set_limits(config.history, Instant::now());
        state.readers.set_max_channels(config.max_channels);
    }

    /// Wakes every reader: something has changed of which the hub knows
    /// nothing. What comes from now on no writer gives to one that has not
    /// looked since, however long it takes a crowd to wake.
    pub fn wake_all(&self) {
        let mut wakers = Vec::new();
        let mut state = self.lock();
        state.log.set_barrier();
        state.readers.wake_all(&mut wakers);
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// How many readers there are now.
    pub fn readers(&self) -> usize {
        self.lock().readers.count()
    }

    /// Whether the gateway does all it is there for, now and from now on: the
    /// source is live, PostgreSQL's queue has room, and the hub is not closed.
    pub fn ready(&self) -> watch::Receiver<bool> {
        self.shared.ready.subscribe()
    }

    /// Takes in what the source says, in order, under one lock; then wakes
    /// each reader concerned, once.
    pub fn ingest(&self, take_in: impl FnOnce(&mut Intake<'_>)) {
        let mut state = self.lock();
        let mut intake = Intake {
            state: &mut state,
            received_at: whole_microseconds(SystemTime::now()),
            now: Instant::now(),
            touched: Vec::new(),
            all: false,
        };
        take_in(&mut intake);
        let wakers = intake.wakers();
        self.tell_ready(&state);
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Lets go of events that are too old and of channels that nobody reads.
    /// To be called about once a second.
    pub fn sweep(&self) {
        let now = Instant::now();
        let mut state = self.lock();
        let State {
            config,
            log,
            readers,
            ..
        } = &mut *state;
        readers.sweep(config.linger, log, now);
        log.trim(now);
    }

    /// Lets no new reader in; the gateway is not ready any more.
    pub fn close(&self) {
        let mut state = self.lock();
        state.closing = true;
        self.tell_ready(&state);
    }

    /// Ends the streams of `count` readers with [`Ended::ShuttingDown`], and
    /// says how many go on.
    pub fn end(&self, count: usize) -> usize {
        let mut wakers = Vec::new();
        let going_on = self.lock().readers.end(count, &mut wakers);
        wakers.into_iter().for_each(Waker::wake);
        going_on
    }

    /// Under the lock, so that the last word is the last state's.
    fn tell_ready(&self, state: &State) {
        let ready = state.is_ready();
        let tell = |was: &mut bool| std::mem::replace(was, ready) != ready;
        self.shared.ready.send_if_modified(tell);
    }

    /// A panic under the lock would be a bug of ours; the readers are better
    /// served by what the state then holds than by a second panic.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.shared
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// The hub, open to the source for one batch.
#[derive(Debug)]
pub struct Intake<'a> {
    state: &'a mut State,
    received_at: SystemTime,
    now: Instant,
    touched: Vec<ChannelKey>,
    all: bool,
}

impl Intake<'_> {
    /// One notification. On a channel that is not, or not yet, listened to
    /// for a reader it is nobody's, and is dropped.
    pub fn notification(&mut self, notification: Notification) {
        self.followed(notification, Followed::default());
    }

    /// One notification whose way somebody follows.
    pub fn followed(&mut self, notification: Notification, followed: Followed) {
        let State { log, readers, .. } = &mut *self.state;
        let Some((channel, history, name)) = readers.notified(&notification.channel) else {
            self.state.unclaimed += 1;
            return;
        };
        let (name, payload) = (name.clone(), notification.payload);
        if followed.is_followed() {
            let (next, count) = (log.id(log.head() + 1), readers.of(channel));
            followed.taken_in(next, self.received_at, count);
        }
        let (received_at, now) = (self.received_at, self.now);
        log.append(history, name, payload, received_at, now, followed);
        if self.touched.last() != Some(&channel) {
            self.touched.push(channel);
        }
    }

    /// A notification that could not be decoded, of a source that goes on
    /// after it (the LISTEN source does not): for all, since its channel
    /// may be among what is unreadable.
    pub fn unreadable(&mut self) {
        self.signal(Signal::Gap(GapReason::Unreadable));
    }

    /// LISTEN has committed for this wish.
    pub fn listening(&mut self, name: &ChannelName, generation: Generation) {
        let State { log, readers, .. } = &mut *self.state;
        let channel = readers.committed(name, generation, log);
        self.touched.extend(channel);
    }

    /// PostgreSQL cannot listen to this name.
    pub fn refused(&mut self, name: &ChannelName, generation: Generation) {
        let channel = self.state.readers.refused(name, generation);
        self.touched.extend(channel);
    }

    /// How full the cluster's notification queue is: 0 to 1, or unknown.
    pub fn queue_usage(&mut self, usage: Option<f64>) {
        self.state.queue_usage = usage;
    }

    /// The source is lost, or suspect.
    pub fn interrupted(&mut self, since: SystemTime) {
        if self.state.source == SourceState::Live {
            self.state.source = SourceState::Interrupted { since };
            self.state.interruptions += 1;
            self.signal(Signal::Interrupted { since });
        }
    }

    /// The source is proven: what was committed on the session before is
    /// committed again on the present one. `lost`: what was committed since the last session is
    /// unknown.
    pub fn live(&mut self, lost: bool) {
        if lost {
            self.signal(Signal::Gap(GapReason::SourceLost));
        }
        if let SourceState::Interrupted { .. } = self.state.source {
            self.signal(Signal::Live);
        }
        if self.state.source != SourceState::Live {
            self.state.source_since = SystemTime::now();
        }
        self.state.source = SourceState::Live;
        self.all = true;
    }

    fn signal(&mut self, signal: Signal) {
        self.state.log.mark(signal);
        self.all = true;
    }

    fn wakers(mut self) -> Vec<Waker> {
        let mut wakers = Vec::new();
        let State {
            readers, inboxes, ..
        } = self.state;
        self.touched.sort_unstable();
        self.touched.dedup();
        for &channel in &self.touched {
            inboxes.touch(channel, readers.writers(channel), &mut wakers);
        }
        if self.all {
            readers.wake_all(&mut wakers);
        } else {
            for channel in self.touched {
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
    let rest = u64::from(since_epoch.subsec_nanos() % 1000);
    time - Duration::from_nanos(rest)
}
