//! The stream, free of any transport: numbers the notifications, remembers
//! them for a while, and wakes the readers of their channels, or has a
//! [`FanoutWorker`] serve them where they sleep.
//!
//! One lock guards all of it; it is held for a batch of notifications or for
//! one reader's look at the log, never over an `await`. The order under it is
//! the order every reader sees.

mod catch_up;
mod channel;
mod channel_quota;
mod counters;
mod delivery;
mod direct_slot;
mod event_batch;
mod fanout_worker;
mod history;
mod idle_channels;
mod ingest;
mod join;
mod log;
mod reader;
mod readers;
mod readiness;
mod subscription;
#[cfg(test)]
mod tests;
mod view;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::Waker,
    time::{Duration, SystemTime},
};

use tokio::{sync::watch, time::Instant};

use crate::{
    channel_demand::Demand,
    event::{Epoch, Health, WireName},
};
#[cfg(test)]
pub(crate) use channel_quota::CLIENT;
pub use channel_quota::ClientKey;
use counters::Counters;
pub use delivery::{Cursor, Delivery};
pub use direct_slot::{DirectSlot, EventSink};
pub use event_batch::EventBatch;
pub use fanout_worker::FanoutWorker;
use fanout_worker::WorkerQueues;
pub use ingest::IngestBatch;
pub use log::Limits;
use log::{Log, ReadBuffer};
pub use readers::NewChannels;
use readers::Readers;
pub use readiness::{Readiness, Unready};
pub use subscription::{Ended, JoinError, Subscription};
pub use view::{ChannelView, SourceView, View};

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
    /// Channels that one client may own; the next is refused.
    pub max_channels_per_client: usize,
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
            max_channels_per_client: 5000,
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
    readiness: watch::Sender<Readiness>,
    counters: Counters,
}

#[derive(Debug)]
struct State {
    config: Config,
    log: Log,
    readers: Readers,
    queues: WorkerQueues,
    source: SourceState,
    /// When it began to be so.
    source_since: SystemTime,
    interruptions: u64,
    /// Notifications that were nobody's.
    unmatched: u64,
    /// As the source reported it last.
    health: Health,
    closing: bool,
    /// Taken out while a reader looks at the log.
    look: ReadBuffer,
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
            readers: Readers::new(demand, config.max_channels, config.max_channels_per_client),
            queues: WorkerQueues::default(),
            source: SourceState::Starting,
            source_since: SystemTime::now(),
            interruptions: 0,
            unmatched: 0,
            health: Ok(()),
            closing: false,
            look: ReadBuffer::default(),
        };
        let shared = Shared {
            state: Mutex::new(state),
            readiness: watch::Sender::new(Err(Unready::SourceAway)),
            counters: Counters::default(),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// A new reader of this client by this wire, that has no channel yet.
    ///
    /// # Errors
    /// There are as many as may be, or the hub is closed.
    pub fn subscribe(
        &self,
        wire: WireName,
        client: ClientKey,
    ) -> Result<Subscription, SubscribeError> {
        let mut state = self.lock();
        if state.closing {
            return Err(SubscribeError::ShuttingDown);
        }
        if state.readers.count() >= state.config.max_readers {
            return Err(SubscribeError::TooMany);
        }
        let reader = state.readers.enter(wire, client);
        drop(state);
        Ok(Subscription::new(self.clone(), reader, wire))
    }

    /// Sets other bounds. Who is there stays, and channels that are listened
    /// to; what the log holds beyond them leaves as ever.
    pub fn reload(&self, config: Config) {
        let mut state = self.lock();
        state.config = config;
        state.log.set_limits(config.history, Instant::now());
        let client_limit = config.max_channels_per_client;
        state
            .readers
            .set_max_channels(config.max_channels, client_limit);
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
        self.tell_readiness(&state);
    }

    /// Ends the streams of `count` readers with [`Ended::ShuttingDown`], and
    /// says how many go on.
    pub fn end(&self, count: usize) -> usize {
        let mut wakers = Vec::new();
        let going_on = self.lock().readers.end(count, &mut wakers);
        wakers.into_iter().for_each(Waker::wake);
        going_on
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
