//! Transport-independent event log and fan-out: assigns sequence numbers,
//! keeps a bounded history, and wakes the readers of a channel or lets a
//! [`FanoutWorker`] write to idle ones directly.
//!
//! One lock guards all of it. It is held for one batch of notifications or
//! for one reader's read of the log, never over an `await`. The order under
//! the lock is the order that every reader sees.

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

/// Settings of the hub. Every number is a bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// Limits of the log.
    pub history: Limits,
    /// Time for which a channel stays listened to after its last reader left,
    /// so that a reconnecting client can resume.
    pub linger: Duration,
    /// Time that a new subscription waits for the source.
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

/// Reason why a new reader was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SubscribeError {
    /// There are `max_readers` already.
    #[error("the gateway has as many readers as it may have")]
    TooMany,
    /// The hub is closed.
    #[error("the gateway is shutting down")]
    ShuttingDown,
}

/// Handle on the hub. Cheap to clone.
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
    /// When the source entered its present state.
    source_since: SystemTime,
    interruptions: u64,
    /// Notifications dropped because their channel is not listened to.
    unmatched: u64,
    /// As the source reported it last.
    health: Health,
    closing: bool,
    /// Reused for every read of the log; taken out meanwhile.
    look: ReadBuffer,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SourceState {
    /// The source has not reported yet.
    Starting,
    Live,
    Interrupted {
        since: SystemTime,
    },
}

impl Hub {
    /// An empty hub with a new epoch. It writes the channels that it needs to
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

    /// A new reader of this client over this transport, without a channel yet.
    ///
    /// # Errors
    /// There are `max_readers` already, or the hub is closed.
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

    /// Replaces the settings. Existing readers and channels stay; events beyond
    /// the new limits of the log are evicted as usual.
    pub fn reload(&self, config: Config) {
        let mut state = self.lock();
        state.config = config;
        state.log.set_limits(config.history, Instant::now());
        let client_limit = config.max_channels_per_client;
        state
            .readers
            .set_max_channels(config.max_channels, client_limit);
    }

    /// Wakes every reader after a change outside the hub. From now on no worker
    /// writes to a reader that has not read the log since, however long it
    /// takes to wake all of them.
    pub fn wake_all(&self) {
        let mut wakers = Vec::new();
        let mut state = self.lock();
        state.log.set_barrier();
        state.readers.wake_all(&mut wakers);
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Number of readers.
    pub fn readers(&self) -> usize {
        self.lock().readers.count()
    }

    /// Evicts events that are too old and gives up channels without readers.
    /// Call it about once a second.
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

    /// Refuses new readers; the gateway is no longer ready.
    pub fn close(&self) {
        let mut state = self.lock();
        state.closing = true;
        self.tell_readiness(&state);
    }

    /// Ends the streams of `count` readers with [`Ended::ShuttingDown`], and
    /// returns how many readers are left.
    pub fn end(&self, count: usize) -> usize {
        let mut wakers = Vec::new();
        let going_on = self.lock().readers.end(count, &mut wakers);
        wakers.into_iter().for_each(Waker::wake);
        going_on
    }

    /// A panic under the lock would be a bug; the state that it leaves serves
    /// the readers better than a second panic.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.shared
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
