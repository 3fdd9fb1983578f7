//! How a join becomes ready: LISTEN committed, reader registered, position
//! taken, in this order, and its cursor judged.

use tokio::time::Instant;

use super::{
    Cursor, Delivery, Ended, SourceState, State,
    counters::Counters,
    log::{HistoryKey, Log},
    reader::{Membership, Reader, Replay},
    readers::{ChannelKey, Listening},
};
use crate::event::{ChannelName, EventId, GapReason};

/// A `join` that waits for its LISTENs.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) channels: Vec<(ChannelKey, ChannelName)>,
    pub(super) cursor: Option<Cursor>,
    pub(super) deadline: Instant,
}

/// Whether a cursor can be honoured.
#[derive(Debug, Clone, Copy)]
enum Verdict {
    Fresh,
    Resume(u64),
    Gap(GapReason),
}

impl Reader {
    /// Makes the oldest pending join ready, once its LISTENs have committed
    /// and the source is live: then, under the same lock, the position is
    /// taken.
    pub(super) fn admit(&mut self, state: &State, counters: &Counters) -> Result<(), Ended> {
        let Some(histories) = self.listened(state)? else {
            return Ok(());
        };
        let Some(pending) = self.pending.pop_front() else {
            return Ok(());
        };
        self.pending.shrink_to_fit();
        let log = &state.log;
        let verdict = judge(pending.cursor, &histories, log);
        if pending.cursor.is_some() {
            counters.resume(matches!(verdict, Verdict::Resume(_)));
        }
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
                    seated: false,
                });
            }
        }
        self.unseated = true;
    }
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
