//! Fan-out workers: each writes the new events of a channel to the readers
//! attached to it, one after the other, straight from the log.
//!
//! Workers are only an optimization. A reader that runs, is behind or ahead, or
//! is due something else first reads the log itself, as every reader can.

use std::{
    collections::{BTreeMap, HashMap},
    future::poll_fn,
    mem,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use tokio::{
    task::yield_now,
    time::{Instant, sleep},
};

use super::{
    Hub, State,
    channel::ListenState,
    direct_slot::DirectSlot,
    event_batch::EventBatch,
    log::Log,
    readers::{ChannelKey, ReaderKey, Readers},
};
use crate::event::WIRES;

/// Index of a worker.
pub(super) type WorkerKey = usize;

/// Capacity of a [`WorkerSet`]; most machines have fewer cores.
pub(super) const MAX_WORKERS: usize = u64::BITS as usize;

/// Slots visited between two yields to the runtime: with a write of 2 to 5 µs
/// each, half a millisecond to one.
const YIELD_AFTER: usize = 256;

/// Queued changes at which the worker is woken even without an event.
const MAX_CHANGES: usize = 64;

/// A worker pauses this many times as long as it wrote: under load, events that
/// arrive meanwhile go into one write. A short round is not followed by a pause
/// ([`MIN_PAUSE`]).
const PAUSE_FACTOR: u32 = 3;

/// Maximum pause: the latency that it adds to an event under load.
const MAX_PAUSE: Duration = Duration::from_millis(10);

/// The resolution of the runtime's timer; a shorter pause is left out.
const MIN_PAUSE: Duration = Duration::from_millis(1);

fn pause_after(writing: Duration) -> Duration {
    let pause = (writing * PAUSE_FACTOR).min(MAX_PAUSE);
    if pause < MIN_PAUSE {
        Duration::ZERO
    } else {
        pause
    }
}

/// Set of workers.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct WorkerSet(u64);

impl WorkerSet {
    pub(super) fn insert(&mut self, worker: WorkerKey) {
        self.0 |= 1 << worker;
    }

    fn contains(self, worker: WorkerKey) -> bool {
        self.0 & (1 << worker) != 0
    }
}

/// Work queue of one worker, under the hub's lock.
#[derive(Debug, Default)]
pub(super) struct WorkerQueue {
    waker: Option<Waker>,
    changes: Vec<Change>,
    /// Channels with new events; may contain duplicates.
    dirty: Vec<ChannelKey>,
}

/// Change of a channel's slots, in order of occurrence.
#[derive(Debug)]
enum Change {
    /// A reader was attached to a channel, at this head of the log.
    Attached(ChannelKey, ReaderKey, Arc<DirectSlot>, u64),
    Left(ChannelKey, ReaderKey),
}

/// The queues of all workers.
#[derive(Debug, Default)]
pub(super) struct WorkerQueues(Vec<WorkerQueue>);

impl WorkerQueues {
    /// The worker of this reader; `None` without workers.
    pub(super) fn worker_of(&self, reader: ReaderKey) -> Option<WorkerKey> {
        reader.checked_rem(self.0.len())
    }

    pub(super) fn attached(
        &mut self,
        worker: WorkerKey,
        channel: ChannelKey,
        (reader, slot): (ReaderKey, &Arc<DirectSlot>),
        head: u64,
    ) {
        let attached = Change::Attached(channel, reader, Arc::clone(slot), head);
        self.0[worker].change(attached);
    }

    pub(super) fn left(&mut self, worker: WorkerKey, channel: ChannelKey, reader: ReaderKey) {
        self.0[worker].change(Change::Left(channel, reader));
    }

    /// Marks `channel` as having new events for `workers`.
    pub(super) fn mark_dirty(
        &mut self,
        channel: ChannelKey,
        workers: WorkerSet,
        wakers: &mut Vec<Waker>,
    ) {
        for (worker, queue) in self.0.iter_mut().enumerate() {
            if workers.contains(worker) {
                queue.dirty.push(channel);
                wakers.extend(queue.waker.take());
            }
        }
    }
}

impl WorkerQueue {
    fn change(&mut self, change: Change) {
        self.changes.push(change);
        if self.changes.len() >= MAX_CHANGES {
            self.waker.take().into_iter().for_each(Waker::wake);
        }
    }
}

/// The readers of one channel that are attached to this worker.
#[derive(Debug)]
struct ChannelSlots {
    /// Everything up to here was offered to them: written, or left for them to read.
    looked: u64,
    slots: BTreeMap<ReaderKey, Arc<DirectSlot>>,
}

/// Task that writes events to the parked readers attached to it.
#[derive(Debug)]
pub struct FanoutWorker {
    hub: Hub,
    key: WorkerKey,
    channels: HashMap<ChannelKey, ChannelSlots>,
    /// Events that have arrived already are left for the next round.
    is_behind: bool,
}

impl Hub {
    /// The workers, each to be run in its own task. Call it before the first
    /// reader subscribes. Without workers, every reader is woken for its events.
    pub fn fanout_workers(&self, count: usize) -> Vec<FanoutWorker> {
        let count = count.min(MAX_WORKERS);
        let mut state = self.lock();
        state.queues.0.resize_with(count, WorkerQueue::default);
        let worker = |key| FanoutWorker {
            hub: self.clone(),
            key,
            channels: HashMap::new(),
            is_behind: false,
        };
        (0..count).map(worker).collect()
    }
}

impl FanoutWorker {
    /// Never returns.
    pub async fn run(mut self) {
        loop {
            let batches = poll_fn(|cx| self.poll_batches(cx)).await;
            let began = Instant::now();
            self.give(batches).await;
            let pause = pause_after(began.elapsed());
            if !pause.is_zero() && !self.is_behind {
                sleep(pause).await;
            }
        }
    }

    /// Each batch is dropped once it is written: its joined encoding is not
    /// counted in the log's limits.
    async fn give(&self, batches: Vec<(ChannelKey, EventBatch)>) {
        let counters = &self.hub.shared.counters;
        let mut tally = 0;
        for (channel, batch) in batches {
            let Some(channel_slots) = self.channels.get(&channel) else {
                continue;
            };
            // Counted once per run of slots: reading the clock has a cost too.
            let mut given = [0; WIRES];
            for slot in channel_slots.slots.values() {
                if let Some(wire) = slot.give(&batch) {
                    given[wire as usize] += batch.len();
                }
                tally += 1;
                if tally % YIELD_AFTER == 0 {
                    counters.given(mem::take(&mut given), &batch);
                    yield_now().await;
                }
            }
            counters.given(given, &batch);
        }
    }

    /// Writes everything that is pending now.
    #[cfg(test)]
    pub(super) async fn round(&mut self) {
        let batches = poll_fn(|cx| self.poll_batches(cx)).await;
        self.give(batches).await;
    }

    fn poll_batches(&mut self, cx: &mut Context<'_>) -> Poll<Vec<(ChannelKey, EventBatch)>> {
        let Self {
            hub, key, channels, ..
        } = self;
        // Outlives the lock: dropping a slot may take other locks.
        let mut left = Vec::new();
        let mut state = hub.lock();
        let State {
            queues,
            log,
            readers,
            ..
        } = &mut *state;
        let queue = &mut queues.0[*key];
        for change in queue.changes.drain(..) {
            left.extend(apply(change, channels));
        }
        let dirty = mem::take(&mut queue.dirty);
        let batches = look(dirty, channels, (readers, log), &mut queue.dirty);
        self.is_behind = !queue.dirty.is_empty();
        if batches.is_empty() {
            queue.waker = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(batches)
    }
}

/// Applies a change. Returns the removed slot, or the replaced one of this key.
fn apply(
    change: Change,
    channels: &mut HashMap<ChannelKey, ChannelSlots>,
) -> Option<Arc<DirectSlot>> {
    match change {
        Change::Attached(channel, reader, slot, head) => {
            let channel_slots = channels.entry(channel).or_insert_with(|| ChannelSlots {
                looked: head,
                slots: BTreeMap::new(),
            });
            channel_slots.slots.insert(reader, slot)
        }
        Change::Left(channel, reader) => {
            let channel_slots = channels.get_mut(&channel)?;
            let slot = channel_slots.slots.remove(&reader);
            if channel_slots.slots.is_empty() {
                channels.remove(&channel);
            }
            slot
        }
    }
}

/// Reads the new events of the channels that have slots here. A channel with
/// more events than one batch may hold is pushed to `again` for the next round.
fn look(
    mut dirty: Vec<ChannelKey>,
    channels: &mut HashMap<ChannelKey, ChannelSlots>,
    (readers, log): (&Readers, &Log),
    again: &mut Vec<ChannelKey>,
) -> Vec<(ChannelKey, EventBatch)> {
    dirty.sort_unstable();
    dirty.dedup();
    dirty.retain(|channel| channels.contains_key(channel));
    // Small channels do not wait for one with many readers.
    dirty.sort_by_key(|channel| channels[channel].slots.len());
    let alone = dirty.len() == 1;
    let mut batches = Vec::with_capacity(dirty.len());
    for channel in dirty {
        // The present server refuses this name: its readers end when `live` wakes them.
        let ListenState::Committed(history) = readers.listening(channel) else {
            continue;
        };
        let Some(channel_slots) = channels.get_mut(&channel) else {
            continue;
        };
        let (batch, is_all) = log.batch(history, channel_slots.looked, alone);
        channel_slots.looked = batch.until().max(channel_slots.looked);
        if !is_all {
            again.push(channel);
        }
        batches.push((channel, batch));
    }
    batches
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_writes_much_rests() {
        let pause = |micros| pause_after(Duration::from_micros(micros));
        assert_eq!(pause(300), Duration::ZERO);
        assert_eq!(pause(1000), Duration::from_millis(3));
        assert_eq!(pause(60_000), MAX_PAUSE);
    }
}
