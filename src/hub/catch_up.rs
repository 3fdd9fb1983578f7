//! What a reader has to be given before the `ready` of a join: what its cursor
//! asked for, and all that the log had when the position was taken.

use super::{
    Delivery,
    log::{ControlEntry, ControlEvent, Entry, HistoryKey, Lagged, Log, ReadBuffer},
    reader::{BATCH, Reader},
    readers::ChannelKey,
};
use crate::event::{ChannelName, GapReason};

/// What a `join` with a cursor missed, up to where the reader was.
#[derive(Debug)]
pub(super) struct Replay {
    pub(super) histories: Vec<(ChannelKey, HistoryKey)>,
    pub(super) after: u64,
    pub(super) until: u64,
}

/// A `join` whose position is taken, and whose `ready` stands behind all that
/// the log had by then.
#[derive(Debug)]
pub(super) struct CatchUp {
    pub(super) channels: Vec<ChannelName>,
    /// The head when the position was taken.
    pub(super) until: u64,
    pub(super) replay: Option<Replay>,
}

impl Reader {
    /// Whether a gap stands among what comes before the next `ready`.
    pub(super) fn has_gap_ahead(&self, log: &Log) -> bool {
        let is_gap = |delivery: &Delivery| matches!(delivery, Delivery::Gap { .. });
        let replay = self.catch_up.as_ref().and_then(|c| c.replay.as_ref());
        self.batch.iter().any(is_gap) || replay.is_some_and(|r| log.has_gap(r.after, r.until))
    }

    /// Nothing stands before a `ready` that came after it, but for the end of
    /// an outage, which `ready` waits for.
    pub(super) fn reads_until(&self, log: &Log) -> u64 {
        match &self.catch_up {
            Some(catch_up) if self.live_sent || self.position < catch_up.until => catch_up.until,
            _ => log.head(),
        }
    }

    /// Of a source that was lost meanwhile, when that is over: nobody is up to
    /// date before.
    pub(super) fn finish_catch_up(&mut self, log: &Log) {
        let is_there =
            |c: &mut CatchUp| c.replay.is_none() && self.position >= c.until && self.live_sent;
        if let Some(CatchUp { channels, .. }) = self.catch_up.take_if(is_there) {
            self.batch.push_back(Delivery::Ready {
                channels,
                cursor: log.id(self.position),
            });
        }
    }

    /// Returns what is left of it.
    pub(super) fn read_replay(
        &mut self,
        replay: Replay,
        log: &Log,
        look: &mut ReadBuffer,
    ) -> Option<Replay> {
        let Replay { after, until, .. } = replay;
        let positions = replay
            .histories
            .iter()
            .map(|(_, history)| (*history, after));
        if let Err(Lagged) = log.read(positions, after, until, BATCH, look) {
            self.batch.push_back(Delivery::Gap {
                id: log.id(self.position),
                reason: GapReason::CursorTooOld,
            });
            return None;
        }
        let after = look.entries.last()?.sequence();
        self.batch.extend(replayed(look.entries.drain(..), log));
        Some(Replay { after, ..replay })
    }
}

impl CatchUp {
    /// None where that leaves nothing to be ready on.
    pub(super) fn without(mut self, names: &[ChannelName], keys: &[ChannelKey]) -> Option<Self> {
        self.channels.retain(|name| !names.contains(name));
        if let Some(replay) = &mut self.replay {
            replay.histories.retain(|(key, _)| !keys.contains(key));
        }
        (!self.channels.is_empty()).then_some(self)
    }
}

/// Of a replay, what a later `join` must hear: events and gaps. What the
/// source went through meanwhile the reader was told at the time.
fn replayed(entries: impl Iterator<Item = Entry>, log: &Log) -> impl Iterator<Item = Delivery> {
    entries.filter_map(|entry| match entry {
        Entry::Event(event) => Some(Delivery::Event(event)),
        Entry::ControlEntry(ControlEntry {
            sequence,
            signal: ControlEvent::Gap(reason),
        }) => Some(Delivery::Gap {
            id: log.id(sequence),
            reason,
        }),
        Entry::ControlEntry(_) => None,
    })
}
