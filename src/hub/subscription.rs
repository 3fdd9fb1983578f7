//! One reader's handle on the hub: a stream of deliveries. Dropping it
//! unsubscribes.

use std::{
    collections::HashSet,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use tokio::time::{Instant, Sleep, sleep_until};
use tokio_stream::Stream;

use super::{
    Cursor, Delivery, Hub, State,
    channel_quota::ClientKey,
    counters::DeliveryTally,
    direct_slot::DirectSlot,
    fanout_worker::WorkerKey,
    join::Pending,
    reader::Reader,
    readers::{ChannelKey, LimitReached, NewChannels, ReaderKey},
};
use crate::event::{ChannelName, EventId, WireName};

/// Reason why a reader's stream ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Ended {
    /// The gateway is shutting down.
    #[error("the gateway is shutting down")]
    ShuttingDown,
    /// A join was not ready within `subscribe_timeout`: the source was not live, or
    /// LISTEN did not commit.
    #[error("the database cannot be reached now")]
    SourceUnavailable,
    /// PostgreSQL cannot listen to this name.
    #[error("the database's encoding cannot hold the channel name {0:?}")]
    Refused(ChannelName),
}

/// Reason why channels were not joined.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JoinError {
    /// A cursor for a channel that is read already: its events would be
    /// delivered twice, and out of order.
    #[error("{0:?} is subscribed to already: with a cursor, unsubscribe first")]
    Joined(ChannelName),
    /// Over `max_channels_per_reader`.
    #[error("a reader may have at most {0} channels")]
    TooManyForReader(usize),
    /// Over `max_channels_per_client`.
    #[error("this client owns {0} channels, the maximum (--max-channels-per-client)")]
    TooManyForClient(usize),
    /// Over `max_channels`.
    #[error("the gateway listens to the maximum number of channels (--max-channels)")]
    TooMany,
    /// The caller refused to create channels.
    #[error("new channels are not permitted now")]
    CreationRefused,
}

/// Stream of one reader's deliveries. Events that a cursor missed come first,
/// then `Ready`; an error is the last item.
#[derive(Debug)]
pub struct Subscription {
    hub: Hub,
    key: ReaderKey,
    wire: WireName,
    reader: Reader,
    tally: DeliveryTally,
    slot: Option<(Arc<DirectSlot>, WorkerKey)>,
    /// Ends the stream when the oldest pending join takes too long.
    timer: Option<Pin<Box<Sleep>>>,
    ended: bool,
}

impl Subscription {
    pub(super) fn new(hub: Hub, key: ReaderKey, wire: WireName) -> Self {
        Self {
            hub,
            key,
            wire,
            reader: Reader::new(),
            tally: DeliveryTally::default(),
            slot: None,
            timer: None,
            ended: false,
        }
    }

    #[cfg(test)]
    pub(crate) fn hub(&self) -> Hub {
        self.hub.clone()
    }

    /// Asks for `channels`; answered by a `Ready` that names each once. With a
    /// cursor, the missed events precede it, or a gap.
    ///
    /// # Errors
    /// A limit on channels, or a cursor for a channel that was joined before;
    /// then nothing was joined.
    pub fn join(
        &mut self,
        channels: &[ChannelName],
        cursor: Option<Cursor>,
    ) -> Result<(), JoinError> {
        self.join_if(channels, cursor, |_| true)
    }

    /// As [`Self::join`]; `may_create` decides on the channels that do not exist yet.
    /// Called at most once, last, under the hub's lock.
    ///
    /// # Errors
    /// As [`Self::join`], or `may_create` refused.
    pub fn join_if(
        &mut self,
        channels: &[ChannelName],
        cursor: Option<Cursor>,
        may_create: impl FnOnce(NewChannels) -> bool,
    ) -> Result<(), JoinError> {
        self.reclaim();
        let config = self.hub.lock().config;
        let names = each_once(channels);
        if cursor.is_some()
            && let Some(name) = self.reader.joined_of(&names)
        {
            return Err(JoinError::Joined(name.clone()));
        }
        // A lowered limit does not affect existing channels: they may be joined again.
        let limit = config.max_channels_per_reader.max(self.reader.ready());
        if self.reader.channels_with(&names) > limit {
            return Err(JoinError::TooManyForReader(config.max_channels_per_reader));
        }
        let mut state = self.hub.lock();
        let State { log, readers, .. } = &mut *state;
        let is_attached = |key| self.reader.is_attached(key);
        let joined = readers.join(self.key, &names, is_attached, may_create, log);
        let keys = joined.map_err(|limit| match limit {
            LimitReached::Client => JoinError::TooManyForClient(config.max_channels_per_client),
            LimitReached::Total => JoinError::TooMany,
            LimitReached::Creation => JoinError::CreationRefused,
        })?;
        drop(state);
        self.reader.pending.push_back(Pending {
            channels: keys.into_iter().zip(names).collect(),
            cursor,
            deadline: Instant::now() + config.subscribe_timeout,
        });
        Ok(())
    }

    /// Assigns the reader to another client.
    pub fn change_client(&mut self, client: ClientKey) {
        let keys = self.reader.channels();
        self.hub
            .lock()
            .readers
            .change_client(self.key, client, keys);
    }

    /// All joined channels, ready or not.
    pub fn channels(&self) -> Vec<ChannelName> {
        self.reader.names().cloned().collect()
    }

    /// Leaves `channels`; none of their events is delivered after this.
    pub fn unsubscribe(&mut self, channels: &[ChannelName]) {
        self.reclaim();
        let keys = self.reader.unsubscribe(channels);
        self.leave_channels(keys);
    }

    fn leave_channels(&self, mut keys: Vec<ChannelKey>) {
        keys.sort_unstable();
        keys.dedup();
        let now = Instant::now();
        let mut state = self.hub.lock();
        let State {
            readers, queues, ..
        } = &mut *state;
        for key in keys {
            readers.leave_channel(self.key, key, now);
            if let Some((_, worker)) = self.slot {
                queues.left(worker, key, self.key);
            }
        }
    }

    /// If there are workers, one may write events into the sink of `slot` while
    /// the reader waits: from each `arm` to the next `reclaim`.
    pub fn attach(&mut self, slot: Arc<DirectSlot>) {
        let worker = self.hub.lock().queues.worker_of(self.key);
        self.slot = worker.map(|worker| (slot, worker));
        self.reader.unattached = true;
    }

    /// Everything delivered is written. Call it before the reader waits; if
    /// something came meanwhile, the reader is woken.
    pub fn arm(&self) {
        if let Some((slot, _)) = &self.slot {
            slot.arm();
        }
    }

    /// From now on the reader alone uses the sink.
    pub fn reclaim(&mut self) {
        if let Some((slot, _)) = &self.slot {
            self.reader.position = self.reader.position.max(slot.reclaim());
        }
    }

    /// The newest cursor: everything up to it was delivered. `None` before the
    /// first `Ready`, and while a delivery or a join is pending.
    pub fn cursor(&mut self) -> Option<EventId> {
        self.reclaim();
        let mut state = self.hub.lock();
        if self.reader.batch.is_empty() && !state.readers.has_ended(self.key) {
            let counters = &self.hub.shared.counters;
            self.reader.fill(&mut state, counters).ok()?;
        }
        self.reader.drained().map(|position| state.log.id(position))
    }

    /// Whether a gap precedes the pending `Ready`.
    pub fn has_gap_ahead(&self) -> bool {
        self.reader.has_gap_ahead(&self.hub.lock().log)
    }

    /// The next delivery that is available now.
    fn take(&mut self, cx: &Context<'_>) -> Result<Option<Delivery>, Ended> {
        if self.reader.batch.is_empty() {
            self.reclaim();
            let mut state = self.hub.lock();
            if state.readers.has_ended(self.key) {
                return Err(Ended::ShuttingDown);
            }
            self.reader.fill(&mut state, &self.hub.shared.counters)?;
            if let Some((slot, worker)) = &self.slot {
                self.reader
                    .take_slots((self.key, slot), *worker, &mut state);
            }
            if self.reader.batch.is_empty() {
                state.readers.wait(self.key, cx.waker());
                self.sleep(cx);
            }
        }
        let delivery = self.reader.batch.pop_front();
        self.count(delivery.as_ref());
        Ok(delivery)
    }

    /// Counts deliveries when the reader waits, or after 256: what it has taken by then is
    /// being written now.
    fn count(&mut self, delivery: Option<&Delivery>) {
        let counters = &self.hub.shared.counters;
        let is_due = match delivery {
            Some(Delivery::Event(event)) => self.tally.delivered(event, self.reader.joined_at),
            Some(Delivery::Gap { reason, .. }) => {
                counters.gap(*reason);
                false
            }
            Some(_) => false,
            None => true,
        };
        if is_due {
            self.tally.count(self.wire, counters);
        }
    }

    fn sleep(&self, cx: &Context<'_>) {
        if let Some((slot, _)) = &self.slot {
            // A setting bounds it to a million.
            let channels = self.reader.memberships.len() as u32;
            slot.sleep(self.wire, self.reader.position, channels, cx.waker());
        }
    }

    fn poll_deadline(&mut self, cx: &mut Context<'_>) -> Poll<Ended> {
        let Some(pending) = self.reader.pending.front() else {
            self.timer = None;
            return Poll::Pending;
        };
        let deadline = pending.deadline;
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if timer.deadline() != deadline {
            timer.as_mut().reset(deadline);
        }
        ready!(timer.as_mut().poll(cx));
        Poll::Ready(Ended::SourceUnavailable)
    }
}

impl Stream for Subscription {
    type Item = Result<Delivery, Ended>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if this.ended {
            return Poll::Ready(None);
        }
        let ended = match this.take(cx) {
            Ok(Some(delivery)) => return Poll::Ready(Some(Ok(delivery))),
            Ok(None) => ready!(this.poll_deadline(cx)),
            Err(ended) => ended,
        };
        this.ended = true;
        Poll::Ready(Some(Err(ended)))
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        if let Some((slot, _)) = &self.slot {
            slot.leave();
        }
        self.tally.count(self.wire, &self.hub.shared.counters);
        self.leave_channels(self.reader.channels().collect());
        self.hub.lock().readers.leave(self.key);
    }
}

fn each_once(names: &[ChannelName]) -> Vec<ChannelName> {
    let mut seen = HashSet::new();
    let news = names.iter().filter(|name| seen.insert(*name));
    news.cloned().collect()
}
