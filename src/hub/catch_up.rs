//! Deliveries before the `Ready` of a join: those that its cursor asked for,
//! and all that the log held when the position was taken.

use super::{
    Delivery,
    log::{ControlEntry, ControlEvent, Entry, HistoryKey, Lagged, Log, ReadBuffer},
    reader::{BATCH, Reader},
    readers::ChannelKey,
};
use crate::event::{ChannelName, GapReason};

/// Events that a `join` with a cursor missed, up to the reader's position.
#[derive(Debug)]
pub(super) struct Replay {
    pub(super) histories: Vec<(ChannelKey, HistoryKey)>,
    pub(super) after: u64,
    pub(super) until: u64,
}

/// A `join` whose position is taken. Its `Ready` follows everything that the
/// log held by then.
#[derive(Debug)]
pub(super) struct CatchUp {
    pub(super) channels: Vec<ChannelName>,
    /// The head when the position was taken.
    pub(super) until: u64,
    pub(super) replay: Option<Replay>,
}

impl Reader {
    /// Whether a gap is known to precede the next `Ready`.
    pub(super) fn has_gap_ahead(&self, log: &Log) -> bool {
        let is_gap = |delivery: &Delivery| matches!(delivery, Delivery::Gap { .. });
        let replay = self.catch_up.as_ref().and_then(|c| c.replay.as_ref());
        self.batch.iter().any(is_gap) || replay.is_some_and(|r| log.has_gap(r.after, r.until))
    }

    /// Sequence up to which the reader may read: the head, or with a pending
    /// `Ready` the head when its position was taken. During an outage it reads
    /// beyond that, since `Ready` waits for the end.
    pub(super) fn reads_until(&self, log: &Log) -> u64 {
        match &self.catch_up {
            Some(catch_up) if self.live_sent || self.position < catch_up.until => catch_up.until,
            _ => log.head(),
        }
    }

    /// Adds `Ready` once everything before it is read. If the source was lost
    /// meanwhile, `Ready` waits for its return: no reader is up to date before.
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

    /// Returns the rest of the replay.
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
    /// `None` if no channel is left.
    pub(super) fn without(mut self, names: &[ChannelName], keys: &[ChannelKey]) -> Option<Self> {
        self.channels.retain(|name| !names.contains(name));
        if let Some(replay) = &mut self.replay {
            replay.histories.retain(|(key, _)| !keys.contains(key));
        }
        (!self.channels.is_empty()).then_some(self)
    }
}

/// The events and gaps of a replay. The changes of the source's state in it were
/// delivered to the reader at the time.
fn replayed(entries: impl Iterator<Item = Entry>, log: &Log) -> impl Iterator<Item = Delivery> {
    entries.filter_map(|entry| match entry {
        Entry::Event(event) => Some(Delivery::Event(event)),
        Entry::Control(ControlEntry {
            sequence,
            signal: ControlEvent::Gap(reason),
        }) => Some(Delivery::Gap {
            id: log.id(sequence),
            reason,
        }),
        Entry::Control(_) => None,
    })
}
