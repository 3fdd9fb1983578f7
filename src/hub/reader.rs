//! Position of a reader in the log, and what it reads next. No lock, no async.
//!
//! A reader has one position for all its channels and for the control entries.
//! A later join with a cursor first replays its own channels up to that
//! position, then they continue with the others.

use std::{collections::VecDeque, mem, sync::Arc};

use super::{
    Delivery, Ended, SourceState, State,
    catch_up::CatchUp,
    channel::ListenState,
    counters::Counters,
    direct_slot::DirectSlot,
    fanout_worker::WorkerKey,
    join::Pending,
    log::{ControlEntry, ControlEvent, Entry, HistoryKey, Lagged, Log, ReadBuffer},
    readers::{ChannelKey, ReaderKey},
};
use crate::event::{ChannelName, GapReason};

/// Deliveries taken from the log in one read: the events that a reader keeps
/// alive beyond the log's limits. At most 512 KiB, shared by all readers at the
/// same position.
#[cfg(not(test))]
pub(super) const BATCH: usize = 64;

/// Few, so that the tests meet every boundary.
#[cfg(test)]
pub(super) const BATCH: usize = 3;

/// Capacity for deliveries that a waiting reader keeps.
const FEW: usize = 4;

/// A channel on which the reader is ready.
#[derive(Debug)]
pub(super) struct Membership {
    pub(super) name: ChannelName,
    pub(super) channel: ChannelKey,
    pub(super) history: HistoryKey,
    /// Nothing up to here is to be delivered, whatever the reader's position.
    pub(super) after: u64,
    /// Whether the reader is attached to a worker on this channel.
    pub(super) attached: bool,
}

/// Read state of a subscription.
#[derive(Debug)]
pub(super) struct Reader {
    /// Read from the log, not yet delivered.
    pub(super) batch: VecDeque<Delivery>,
    pub(super) pending: VecDeque<Pending>,
    pub(super) memberships: Vec<Membership>,
    /// Some membership could be attached to a worker, and is not yet.
    pub(super) unattached: bool,
    pub(super) catch_up: Option<CatchUp>,
    /// The head when the first join became ready: earlier changes of the
    /// source's state are not delivered.
    pub(super) joined_at: Option<u64>,
    /// The log was read up to here.
    pub(super) position: u64,
    /// Whether the last delivered state of the source is live.
    pub(super) live_sent: bool,
}

impl Reader {
    pub(super) fn new() -> Self {
        Self {
            batch: VecDeque::new(),
            pending: VecDeque::new(),
            memberships: Vec::new(),
            unattached: false,
            catch_up: None,
            joined_at: None,
            position: 0,
            live_sent: true,
        }
    }

    /// The first of `names` that was joined before, ready or not.
    pub(super) fn joined_of<'a>(&self, names: &'a [ChannelName]) -> Option<&'a ChannelName> {
        let pending = self.pending.iter().flat_map(|p| &p.channels);
        let joined: Vec<_> = self
            .memberships
            .iter()
            .map(|m| &m.name)
            .chain(pending.map(|(_, name)| name))
            .collect();
        names.iter().find(|name| joined.contains(name))
    }

    /// Number of channels that are ready.
    pub(super) fn ready(&self) -> usize {
        self.memberships.len()
    }

    /// Number of channels that the reader would have with `names` added.
    pub(super) fn channels_with(&self, names: &[ChannelName]) -> usize {
        let known = |name: &&ChannelName| self.memberships.iter().any(|m| m.name == **name);
        let waiting: usize = self.pending.iter().map(|p| p.channels.len()).sum();
        self.memberships.len() + waiting + names.len() - names.iter().filter(known).count()
    }

    pub(super) fn is_attached(&self, key: ChannelKey) -> bool {
        self.memberships
            .iter()
            .any(|m| m.channel == key && m.attached)
    }

    /// Attaches the reader to `worker` on all its channels.
    pub(super) fn take_slots(
        &mut self,
        (key, slot): (ReaderKey, &Arc<DirectSlot>),
        worker: WorkerKey,
        state: &mut State,
    ) {
        if !mem::take(&mut self.unattached) {
            return;
        }
        let head = state.log.head();
        for membership in self.memberships.iter_mut().filter(|m| !m.attached) {
            let channel = membership.channel;
            state.readers.slot(key, channel, worker);
            state.queues.attached(worker, channel, (key, slot), head);
            membership.attached = true;
        }
    }

    /// All joined channels, ready or not; may contain duplicates.
    pub(super) fn channels(&self) -> impl Iterator<Item = ChannelKey> {
        let pending = self.pending.iter().flat_map(|p| &p.channels);
        let ready = self.memberships.iter().map(|m| m.channel);
        ready.chain(pending.map(|(key, _)| *key))
    }

    /// The names of those channels.
    pub(super) fn names(&self) -> impl Iterator<Item = &ChannelName> {
        let pending = self.pending.iter().flat_map(|p| &p.channels);
        let ready = self.memberships.iter().map(|m| &m.name);
        ready.chain(pending.map(|(_, name)| name))
    }

    /// Removes `names`, and returns their keys.
    pub(super) fn unsubscribe(&mut self, names: &[ChannelName]) -> Vec<ChannelKey> {
        let gone = |name: &ChannelName| names.contains(name);
        let parted = self.memberships.extract_if(.., |m| gone(&m.name));
        let mut keys: Vec<_> = parted.map(|m| m.channel).collect();
        for pending in &mut self.pending {
            let parted = pending.channels.extract_if(.., |(_, name)| gone(name));
            keys.extend(parted.map(|(key, _)| key));
        }
        self.pending.retain(|pending| !pending.channels.is_empty());
        self.catch_up = self.catch_up.take().and_then(|c| c.without(names, &keys));
        self.batch.retain_mut(|delivery| match delivery {
            Delivery::Event(event) => !gone(&event.channel),
            Delivery::Ready { channels, .. } => {
                channels.retain(|name| !gone(name));
                !channels.is_empty()
            }
            _ => true,
        });
        keys
    }

    /// The position, if everything up to it was delivered and nothing is pending.
    pub(super) fn drained(&self) -> Option<u64> {
        let waits = !self.batch.is_empty() || !self.pending.is_empty() || self.catch_up.is_some();
        (self.joined_at.is_some() && !waits).then_some(self.position)
    }

    /// Reads on from the present position into `batch`, which stays empty if
    /// nothing can be read now.
    pub(super) fn fill(&mut self, state: &mut State, counters: &Counters) -> Result<(), Ended> {
        if state.readers.has_refusals() {
            self.check_memberships(state)?;
        }
        let mut look = mem::take(&mut state.look);
        let filled = self.read_on(state, &mut look, counters);
        state.look = look;
        filled?;
        if self.batch.is_empty() {
            // A waiting reader keeps no capacity from an earlier burst.
            self.batch.shrink_to(FEW);
        }
        Ok(())
    }

    /// A `join` becomes ready between the events before it and those after it.
    fn read_on(
        &mut self,
        state: &State,
        look: &mut ReadBuffer,
        counters: &Counters,
    ) -> Result<(), Ended> {
        loop {
            while self.batch.is_empty() && self.read(state, look) {}
            if self.catch_up.is_none() {
                self.admit(state, counters)?;
            }
            self.finish_catch_up(&state.log);
            if !self.batch.is_empty() || !self.can_read(&state.log) {
                return Ok(());
            }
        }
    }

    /// Returns whether there was something to read.
    fn read(&mut self, state: &State, look: &mut ReadBuffer) -> bool {
        let replay = self.catch_up.as_mut().and_then(|c| c.replay.take());
        if let Some(replay) = replay {
            let rest = self.read_replay(replay, &state.log, look);
            if let Some(catch_up) = &mut self.catch_up {
                catch_up.replay = rest;
            }
            return true;
        }
        let until = self.reads_until(&state.log);
        let is_behind = self.joined_at.is_some() && self.position < until;
        if is_behind {
            self.read_live(until, state, look);
        }
        is_behind
    }

    fn can_read(&self, log: &Log) -> bool {
        let replays = self.catch_up.as_ref().is_some_and(|c| c.replay.is_some());
        replays || self.joined_at.is_some() && self.position < self.reads_until(log)
    }

    /// The present server may be unable to listen to a name that the previous one
    /// could.
    fn check_memberships(&self, state: &State) -> Result<(), Ended> {
        let refused =
            |m: &&Membership| matches!(state.readers.listening(m.channel), ListenState::Refused(_));
        match self.memberships.iter().find(refused) {
            Some(membership) => Err(Ended::Refused(membership.name.clone())),
            None => Ok(()),
        }
    }

    fn read_live(&mut self, until: u64, state: &State, look: &mut ReadBuffer) {
        let log = &state.log;
        let memberships = self.memberships.iter();
        let positions = memberships.map(|m| (m.history, m.after.max(self.position)));
        match log.read(positions, self.position, until, BATCH, look) {
            Ok(()) => {
                self.position = match look.entries.last() {
                    Some(last) if look.entries.len() == BATCH => last.sequence(),
                    _ => until,
                };
                for entry in look.entries.drain(..) {
                    self.deliver(entry, log);
                }
            }
            Err(Lagged) => self.go_on_at_head(state),
        }
    }

    fn deliver(&mut self, entry: Entry, log: &Log) {
        match entry {
            Entry::Event(event) => self.batch.push_back(Delivery::Event(event)),
            Entry::Control(mark) => self.tell(mark, log),
        }
    }

    fn tell(&mut self, mark: ControlEntry, log: &Log) {
        let id = log.id(mark.sequence);
        let is_news = self.joined_at.is_some_and(|at| mark.sequence > at);
        match mark.signal {
            ControlEvent::Gap(reason) => self.batch.push_back(Delivery::Gap { id, reason }),
            ControlEvent::Interrupted { since } if is_news => {
                self.live_sent = false;
                self.batch.push_back(Delivery::Interrupted { since });
            }
            ControlEvent::Live if is_news => {
                self.live_sent = true;
                self.batch.push_back(Delivery::Live { cursor: id });
            }
            ControlEvent::Interrupted { .. } | ControlEvent::Live => {}
        }
    }

    /// The log has overtaken this reader. The skipped part may include a change of
    /// the source's state.
    fn go_on_at_head(&mut self, state: &State) {
        let log = &state.log;
        self.position = log.head();
        self.batch.push_back(Delivery::Gap {
            id: log.id(self.position),
            reason: GapReason::SlowReader,
        });
        // Before `Interrupted`: a client would take a later `Ready` for the end of it.
        self.finish_catch_up(log);
        match state.source {
            SourceState::Interrupted { since } if self.live_sent => {
                self.live_sent = false;
                self.batch.push_back(Delivery::Interrupted { since });
            }
            SourceState::Live if !self.live_sent => {
                self.live_sent = true;
                self.batch.push_back(Delivery::Live {
                    cursor: log.id(self.position),
                });
            }
            _ => {}
        }
    }
}
