//! Bounded log of events and control entries: no async, no lock. The time is an
//! argument, except in `batch`.
//!
//! One sequence numbers all of it. Each channel that is listened to has its own
//! [`History`], so that a quiet channel keeps its events however busy the others
//! are. Control entries (gaps, and the state of the source) concern every reader
//! and are kept apart.

use std::{
    collections::VecDeque,
    mem,
    sync::Arc,
    time::{Duration, SystemTime},
};

pub(super) use read_buffer::{Entry, Lagged, ReadBuffer};
use slab::Slab;
use tokio::time::Instant;

use super::history::History;
use crate::event::{ChannelName, Encodings, Epoch, Event, EventId, Followed, Footprint, GapReason};

/// Time for which readers that are behind can still read an event that the
/// `events` limit has put out of every cursor's reach: the default of
/// `--write-timeout`. Without it a burst longer than the limit
/// would overtake every reader. If `bytes` is exceeded, these events are evicted
/// first.
pub(super) const READER_GRACE: Duration = Duration::from_secs(30);

/// Divisor of `bytes`: if the log is full, a channel that holds more than this
/// part loses its own events before those of others are evicted.
const CHANNEL_SHARE: usize = 4;

/// Maximum number of control entries. An outage adds three, so 1,024 cover the
/// last 340 outages. At the limit the oldest is evicted, and a cursor before it
/// is too old.
const MAX_CONTROLS: usize = 1024;

/// Memory of an event beside its payload: itself, its `Arc`, its entry in a
/// history and in the order of arrival.
const EVENT_BYTES: usize = mem::size_of::<Event>() + 16 + 8 + mem::size_of::<Arrival>();

/// Limits of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Events of one channel that a cursor can reach back to.
    pub events: usize,
    /// Bytes of all events together. The oldest are evicted first.
    pub bytes: usize,
    /// Maximum age of an event.
    pub age: Duration,
}

/// Key of one channel's history. Valid until [`Log::close`].
pub(super) type HistoryKey = usize;

/// Event that concerns every reader, whatever its channels are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ControlEvent {
    Gap(GapReason),
    Interrupted { since: SystemTime },
    Live,
}

/// A control event and its sequence number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ControlEntry {
    pub(super) sequence: u64,
    pub(super) signal: ControlEvent,
}

/// An event in an order over all channels.
#[derive(Debug, Clone, Copy)]
struct Arrival {
    at: Instant,
    sequence: u64,
    history: HistoryKey,
}

/// Bounded log of events and control entries.
#[derive(Debug)]
pub(super) struct Log {
    epoch: Epoch,
    limits: Limits,
    head: u64,
    /// An event batch is not written to a reader whose position is below this.
    barrier: u64,
    histories: Slab<History>,
    /// Channels that held more than their share at their last event.
    heavy: Vec<HistoryKey>,
    /// Oldest first. Those whose event was evicted already are skipped, and
    /// removed together once they are more than half.
    arrivals: VecDeque<Arrival>,
    /// Events beyond their channel's `events` limit, in the order in which they
    /// went over it, with that time.
    excess: VecDeque<Arrival>,
    events: usize,
    appended: u64,
    /// Bytes of the events themselves.
    bytes: usize,
    /// Bytes of their encodings.
    encoded: Footprint,
    controls: VecDeque<ControlEntry>,
    controls_evicted_to: u64,
}

impl Log {
    pub(super) fn new(epoch: Epoch, limits: Limits) -> Self {
        Self {
            epoch,
            limits,
            // From 1, so that the id 0 precedes everything and is always too old:
            // the cursor of a reader that is still owed a gap.
            head: 1,
            barrier: 0,
            histories: Slab::new(),
            heavy: Vec::new(),
            arrivals: VecDeque::new(),
            excess: VecDeque::new(),
            events: 0,
            appended: 0,
            bytes: 0,
            encoded: Footprint::default(),
            controls: VecDeque::new(),
            controls_evicted_to: 0,
        }
    }

    pub(super) fn set_limits(&mut self, limits: Limits, now: Instant) {
        let fewer = limits.events < self.limits.events;
        self.limits = limits;
        if fewer {
            self.find_excess(now);
        }
        self.trim(now);
    }

    /// Adds the events beyond a lowered limit. Those that were beyond the higher
    /// one are then listed twice, which costs one check each.
    fn find_excess(&mut self, now: Instant) {
        for (key, history) in &self.histories {
            let beyond = history.events.len().saturating_sub(self.limits.events);
            let events = history.events.range(..beyond);
            self.excess.extend(events.map(|event| Arrival {
                at: now,
                sequence: event.id.sequence,
                history: key,
            }));
        }
    }

    /// Number of events held.
    pub(super) fn events(&self) -> usize {
        self.events
    }

    /// Bytes of the events and their encodings.
    pub(super) fn bytes(&self) -> usize {
        self.bytes + self.encoded.bytes()
    }

    /// Number of events ever appended.
    pub(super) fn appended(&self) -> u64 {
        self.appended
    }

    /// The newest sequence.
    pub(super) fn head(&self) -> u64 {
        self.head
    }

    pub(super) fn epoch(&self) -> Epoch {
        self.epoch
    }

    pub(super) fn id(&self, sequence: u64) -> EventId {
        EventId {
            epoch: self.epoch,
            sequence,
        }
    }

    /// Begins a channel's history: LISTEN has committed. This takes a sequence
    /// number of its own: a cursor issued before it, perhaps in an earlier
    /// period of the same channel, does not reach back.
    pub(super) fn open(&mut self) -> HistoryKey {
        self.head += 1;
        let encoded = self.encoded.part();
        self.histories.insert(History::new(self.head, encoded))
    }

    /// Drops a channel's history: it is no longer listened to.
    pub(super) fn close(&mut self, key: HistoryKey) {
        let history = self.histories.remove(key);
        for event in history.events {
            self.let_go(&event);
        }
    }

    pub(super) fn append(
        &mut self,
        key: HistoryKey,
        channel: ChannelName,
        payload: Box<str>,
        received_at: SystemTime,
        now: Instant,
        followed: Followed,
    ) {
        self.head += 1;
        let encoded = self.histories[key].encoded.clone();
        let event = Arc::new(Event {
            id: self.id(self.head),
            channel,
            payload,
            received_at,
            encodings: Encodings::new(encoded),
            followed,
        });
        self.events += 1;
        self.appended += 1;
        self.bytes += cost(&event);
        let history = &mut self.histories[key];
        history.bytes += cost(&event);
        history.events.push_back(event);
        let arrival = |sequence| Arrival {
            at: now,
            sequence,
            history: key,
        };
        self.arrivals.push_back(arrival(self.head));
        if let Some(event) = history.beyond(self.limits.events) {
            self.excess.push_back(arrival(event.id.sequence));
        }
        self.note_if_heavy(key);
        self.trim(now);
    }

    pub(super) fn mark(&mut self, signal: ControlEvent) {
        self.head += 1;
        self.controls.push_back(ControlEntry {
            sequence: self.head,
            signal,
        });
        if self.controls.len() > MAX_CONTROLS
            && let Some(oldest) = self.controls.pop_front()
        {
            self.controls_evicted_to = oldest.sequence;
        }
    }

    /// Every reader has to read the log itself up to here before a worker may
    /// write to it again.
    pub(super) fn set_barrier(&mut self) {
        self.head += 1;
        self.barrier = self.head;
    }

    fn is_heavy(&self, key: HistoryKey) -> bool {
        let share = self.limits.bytes / CHANNEL_SHARE;
        let history = self.histories.get(key);
        history.is_some_and(|history| history.total_bytes() > share)
    }

    /// Few channels can be heavy at one time, so the list stays short.
    fn note_if_heavy(&mut self, key: HistoryKey) {
        if !self.is_heavy(key) || self.heavy.contains(&key) {
            return;
        }
        if self.heavy.len() >= 2 * CHANNEL_SHARE {
            let mut heavy = mem::take(&mut self.heavy);
            heavy.retain(|&key| self.is_heavy(key));
            self.heavy = heavy;
        }
        self.heavy.push(key);
    }

    /// Evicts events of heavy channels while the log is full.
    fn trim_heavy(&mut self) {
        while self.bytes() > self.limits.bytes
            && let Some(&key) = self.heavy.last()
        {
            match self.is_heavy(key) {
                true => self.evict(key),
                false => drop(self.heavy.pop()),
            }
        }
    }

    /// Evicts everything that is over a limit now.
    pub(super) fn trim(&mut self, now: Instant) {
        self.trim_heavy();
        while let Some(oldest) = self.excess.front().copied() {
            if self.is_held(oldest) {
                if !self.is_over(oldest, READER_GRACE, now) {
                    break;
                }
                self.evict(oldest.history);
            }
            self.excess.pop_front();
        }
        while let Some(oldest) = self.arrivals.front().copied() {
            if self.is_held(oldest) {
                if !self.is_over(oldest, self.limits.age, now) {
                    break;
                }
                self.evict(oldest.history);
            }
            self.arrivals.pop_front();
        }
        self.clear_arrivals();
    }

    fn is_held(&self, arrival: Arrival) -> bool {
        self.histories
            .get(arrival.history)
            .is_some_and(|history| history.holds(arrival.sequence))
    }

    fn is_over(&self, oldest: Arrival, limit: Duration, now: Instant) -> bool {
        let age = now.saturating_duration_since(oldest.at);
        self.bytes() > self.limits.bytes || age > limit
    }

    /// Costs a pass over all arrivals, once per as many appends.
    fn clear_arrivals(&mut self) {
        if self.arrivals.len() > 2 * self.events + 1024 {
            let mut arrivals = mem::take(&mut self.arrivals);
            arrivals.retain(|arrival| self.is_held(*arrival));
            arrivals.shrink_to(2 * self.events);
            self.arrivals = arrivals;
        }
    }

    fn evict(&mut self, key: HistoryKey) {
        let history = &mut self.histories[key];
        if let Some(event) = history.evict() {
            history.bytes -= cost(&event);
            self.let_go(&event);
        }
    }

    fn let_go(&mut self, event: &Event) {
        self.events -= 1;
        self.bytes -= cost(event);
        event.encodings.release();
    }
}

fn cost(event: &Event) -> usize {
    EVENT_BYTES + event.payload.len()
}
mod read_buffer;
