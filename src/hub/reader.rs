//! Where a reader is in the log, and what it reads next. No lock, no async.
//!
//! A reader has one position for all its channels and for the marks. A later
//! join with a cursor first replays its own channels up to that position,
//! then they go on with the others.

use std::collections::VecDeque;

use tokio::time::Instant;

use super::{
    Cursor, Delivery, Ended, SourceState, State,
    log::{Entry, HistoryKey, Log, Mark, Overtaken, Signal},
    readers::{ChannelKey, Listening},
};
use crate::event::{ChannelName, EventId, GapReason};

/// Deliveries taken from the log in one look. So many events a reader keeps
/// alive beyond the log's limits at the most: 512 KiB, shared by all readers
/// that are at the same place.
#[cfg(not(test))]
const BATCH: usize = 64;

/// Few, so that the tests meet every boundary.
#[cfg(test)]
const BATCH: usize = 3;

/// A channel the reader is ready on.
#[derive(Debug)]
struct Membership {
    name: ChannelName,
    channel: ChannelKey,
    history: HistoryKey,
    /// Nothing up to here is to be delivered, wherever the reader is.
    after: u64,
}

/// A `join` that waits for its LISTENs.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) channels: Vec<(ChannelKey, ChannelName)>,
    pub(super) cursor: Option<Cursor>,
    pub(super) deadline: Instant,
}

/// What a later `join` missed, up to where the reader was.
#[derive(Debug)]
struct Replay {
    histories: Vec<(ChannelKey, HistoryKey)>,
    after: u64,
    until: u64,
}

/// Whether a cursor can be honoured.
#[derive(Debug, Clone, Copy)]
enum Verdict {
    Fresh,
    Resume(u64),
    Gap(GapReason),
}

/// See the module.
#[derive(Debug)]
pub(super) struct Reader {
    /// Read from the log, not yet delivered.
    pub(super) batch: VecDeque<Delivery>,
    pub(super) pending: VecDeque<Pending>,
    memberships: Vec<Membership>,
    replay: Option<Replay>,
    /// The head when the first join became ready: what the source went
    /// through before is no news.
    joined_at: Option<u64>,
    /// Read from the log up to here.
    position: u64,
    /// Whether the reader was last told that the source is live.
    told_live: bool,
}

impl Reader {
    pub(super) fn new() -> Self {
        Self {
            batch: VecDeque::new(),
            pending: VecDeque::new(),
            memberships: Vec::new(),
            replay: None,
            joined_at: None,
            position: 0,
            told_live: true,
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

    /// How many channels the reader would have with `names` too.
    pub(super) fn channels_with(&self, names: &[ChannelName]) -> usize {
        let known = |name: &&ChannelName| self.memberships.iter().any(|m| m.name == **name);
        let waiting: usize = self.pending.iter().map(|p| p.channels.len()).sum();
        self.memberships.len() + waiting + names.len() - names.iter().filter(known).count()
    }

    /// All channels that were joined, ready or not; some perhaps twice.
    pub(super) fn channels(&self) -> impl Iterator<Item = ChannelKey> {
        let pending = self.pending.iter().flat_map(|p| &p.channels);
        let ready = self.memberships.iter().map(|m| m.channel);
        ready.chain(pending.map(|(key, _)| *key))
    }

    /// Forgets `names`, and says which channels those were.
    pub(super) fn part(&mut self, names: &[ChannelName]) -> Vec<ChannelKey> {
        let gone = |name: &ChannelName| names.contains(name);
        let (parted, stay) = std::mem::take(&mut self.memberships)
            .into_iter()
            .partition(|m: &Membership| gone(&m.name));
        self.memberships = stay;
        let mut keys: Vec<_> = Vec::from_iter(parted.iter().map(|m: &Membership| m.channel));
        for pending in &mut self.pending {
            let parted = pending.channels.extract_if(.., |(_, name)| gone(name));
            keys.extend(parted.map(|(key, _)| key));
        }
        self.pending.retain(|pending| !pending.channels.is_empty());
        if let Some(replay) = &mut self.replay {
            replay.histories.retain(|(key, _)| !keys.contains(key));
        }
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

    /// The position, if everything up to it was delivered and nothing waits.
    pub(super) fn drained(&self) -> Option<u64> {
        let waits = !self.batch.is_empty() || !self.pending.is_empty() || self.replay.is_some();
        (self.joined_at.is_some() && !waits).then_some(self.position)
    }

    /// Reads on from where the reader is into `batch`.
    /// Nothing there means that nothing can be read now.
    pub(super) fn fill(&mut self, state: &State) -> Result<(), Ended> {
        self.check_memberships(state)?;
        while self.batch.is_empty() && self.replay.is_some() {
            self.read_replay(&state.log);
        }
        let is_behind = |r: &Self| r.joined_at.is_some() && r.position < state.log.head();
        while self.batch.is_empty() && is_behind(self) {
            self.read_live(state);
        }
        if self.replay.is_none() {
            self.admit(state)?;
        }
        Ok(())
    }

    /// The server of today may be one that cannot listen to a name which the
    /// one before could.
    fn check_memberships(&self, state: &State) -> Result<(), Ended> {
        let refused =
            |m: &&Membership| matches!(state.readers.listening(m.channel), Listening::Refused(_));
        match self.memberships.iter().find(refused) {
            Some(membership) => Err(Ended::Refused(membership.name.clone())),
            None => Ok(()),
        }
    }

    fn read_replay(&mut self, log: &Log) {
        let Some(replay) = &mut self.replay else {
            return;
        };
        let mut entries = Vec::new();
        let after = replay.after;
        let positions = replay
            .histories
            .iter()
            .map(|(_, history)| (*history, after));
        let read = log.read(positions, after, replay.until, BATCH, &mut entries);
        if let (Ok(()), Some(last)) = (read, entries.last()) {
            replay.after = last.sequence();
        } else {
            self.replay = None;
        }
        match read {
            Ok(()) => self.batch.extend(replayed(entries, log)),
            Err(Overtaken) => self.batch.push_back(Delivery::Gap {
                id: log.id(self.position),
                reason: GapReason::CursorTooOld,
            }),
        }
    }

    fn read_live(&mut self, state: &State) {
        let (log, head) = (&state.log, state.log.head());
        let mut entries = Vec::new();
        let memberships = self.memberships.iter();
        let positions = memberships.map(|m| (m.history, m.after.max(self.position)));
        match log.read(positions, self.position, head, BATCH, &mut entries) {
            Ok(()) => {
                self.position = match entries.last() {
                    Some(last) if entries.len() == BATCH => last.sequence(),
                    _ => head,
                };
                for entry in entries {
                    self.deliver(entry, log);
                }
            }
            Err(Overtaken) => self.go_on_at_head(state),
        }
    }

    fn deliver(&mut self, entry: Entry, log: &Log) {
        match entry {
            Entry::Event(event) => self.batch.push_back(Delivery::Event(event)),
            Entry::Mark(mark) => self.tell(mark, log),
        }
    }

    fn tell(&mut self, mark: Mark, log: &Log) {
        let id = log.id(mark.sequence);
        let is_news = self.joined_at.is_some_and(|at| mark.sequence > at);
        match mark.signal {
            Signal::Gap(reason) => self.batch.push_back(Delivery::Gap { id, reason }),
            Signal::Interrupted { since } if is_news => {
                self.told_live = false;
                self.batch.push_back(Delivery::Interrupted { since });
            }
            Signal::Live if is_news => {
                self.told_live = true;
                self.batch.push_back(Delivery::Live { cursor: id });
            }
            Signal::Interrupted { .. } | Signal::Live => {}
        }
    }

    /// The log has overtaken this reader: what it skips may hold a change of
    /// the source's state too.
    fn go_on_at_head(&mut self, state: &State) {
        self.position = state.log.head();
        let id = state.log.id(self.position);
        let reason = GapReason::SlowReader;
        match state.source {
            SourceState::Interrupted { since } if self.told_live => {
                self.told_live = false;
                self.batch.push_back(Delivery::Interrupted { since });
                self.batch.push_back(Delivery::Gap { id, reason });
            }
            SourceState::Live if !self.told_live => {
                self.told_live = true;
                self.batch.push_back(Delivery::Gap { id, reason });
                self.batch.push_back(Delivery::Live { cursor: id });
            }
            _ => self.batch.push_back(Delivery::Gap { id, reason }),
        }
    }

    /// Makes the oldest pending join ready, once its LISTENs have committed
    /// and the source is live: then, under the same lock, the position is
    /// taken.
    fn admit(&mut self, state: &State) -> Result<(), Ended> {
        let Some(histories) = self.listened(state)? else {
            return Ok(());
        };
        let Some(pending) = self.pending.pop_front() else {
            return Ok(());
        };
        let log = &state.log;
        let verdict = judge(pending.cursor, &histories, log);
        let position = self.enter(verdict, log.head());
        // Where this join's channels begin, and the cursor that repeats it. A
        // reader that leaves before its gap must not resume without one: the
        // id 0 is always too old.
        let (after, cursor) = match verdict {
            Verdict::Fresh => (log.head(), position),
            Verdict::Resume(after) => (after, after.min(position)),
            Verdict::Gap(_) => (log.head(), 0),
        };
        self.batch.push_back(Delivery::Ready {
            channels: pending.channels.iter().map(|(_, n)| n.clone()).collect(),
            cursor: log.id(cursor),
        });
        if let Verdict::Gap(reason) = verdict {
            let id = log.id(position);
            self.batch.push_back(Delivery::Gap { id, reason });
        }
        let keys = pending.channels.iter().map(|(key, _)| *key);
        self.replay = (after < position).then(|| Replay {
            histories: keys.zip(histories.iter().copied()).collect(),
            after,
            until: position,
        });
        self.add_memberships(pending.channels, histories, after);
        Ok(())
    }

    /// The first join takes the reader's position.
    fn enter(&mut self, verdict: Verdict, head: u64) -> u64 {
        if self.joined_at.is_none() {
            self.joined_at = Some(head);
            self.position = match verdict {
                Verdict::Resume(after) => after,
                Verdict::Fresh | Verdict::Gap(_) => head,
            };
        }
        self.position
    }

    /// The histories of the oldest pending `join`, when it is ready.
    fn listened(&self, state: &State) -> Result<Option<Vec<HistoryKey>>, Ended> {
        let Some(pending) = self.pending.front() else {
            return Ok(None);
        };
        // A reader that is behind has to hear of it first.
        if state.source != SourceState::Live || !self.told_live {
            return Ok(None);
        }
        let mut histories = Vec::with_capacity(pending.channels.len());
        for (key, name) in &pending.channels {
            match state.readers.listening(*key) {
                Listening::Committed(history) => histories.push(history),
                Listening::Asked => return Ok(None),
                Listening::Refused(_) => return Err(Ended::Refused(name.clone())),
            }
        }
        Ok(Some(histories))
    }

    /// A channel that is read already keeps its place.
    fn add_memberships(
        &mut self,
        channels: Vec<(ChannelKey, ChannelName)>,
        histories: Vec<HistoryKey>,
        after: u64,
    ) {
        for ((channel, name), history) in channels.into_iter().zip(histories) {
            if !self.memberships.iter().any(|m| m.channel == channel) {
                self.memberships.push(Membership {
                    name,
                    channel,
                    history,
                    after,
                });
            }
        }
    }
}

/// Of a replay, what a later `join` must hear: events and gaps. What the
/// source went through meanwhile the reader was told at the time.
fn replayed(entries: Vec<Entry>, log: &Log) -> impl Iterator<Item = Delivery> {
    entries.into_iter().filter_map(|entry| match entry {
        Entry::Event(event) => Some(Delivery::Event(event)),
        Entry::Mark(Mark {
            sequence,
            signal: Signal::Gap(reason),
        }) => Some(Delivery::Gap {
            id: log.id(sequence),
            reason,
        }),
        Entry::Mark(_) => None,
    })
}

fn judge(cursor: Option<Cursor>, histories: &[HistoryKey], log: &Log) -> Verdict {
    let Some(cursor) = cursor else {
        return Verdict::Fresh;
    };
    let known = |id: &EventId| id.epoch == log.epoch() && id.sequence <= log.head();
    match cursor {
        Cursor::At(id) if known(&id) => {
            if log.covers(histories.iter().copied(), id.sequence) {
                Verdict::Resume(id.sequence)
            } else {
                Verdict::Gap(GapReason::CursorTooOld)
            }
        }
        Cursor::At(_) | Cursor::Strange => Verdict::Gap(GapReason::UnknownCursor),
    }
}
