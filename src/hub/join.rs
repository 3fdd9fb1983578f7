//! How a join becomes ready: LISTEN has committed, then the position is taken and the
//! cursor resolved under one lock; what it missed is delivered.

use tokio::time::Instant;

use super::{
    Cursor, Delivery, Ended, SourceState, State,
    catch_up::{CatchUp, Replay},
    channel::ListenState,
    counters::Counters,
    log::{HistoryKey, Log},
    reader::{Membership, Reader},
    readers::ChannelKey,
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
enum ResumeDecision {
    Fresh,
    Resume(u64),
    Gap(GapReason),
}

impl Reader {
    /// Takes the position of the oldest pending join, once its LISTENs have
    /// committed and the source is live, and resolves its cursor under the same
    /// lock. Its `Ready` follows when the reader has reached that position.
    pub(super) fn admit(&mut self, state: &State, counters: &Counters) -> Result<(), Ended> {
        let Some(histories) = self.listened(state)? else {
            return Ok(());
        };
        let Some(pending) = self.pending.pop_front() else {
            return Ok(());
        };
        self.pending.shrink_to_fit();
        let log = &state.log;
        let head = log.head();
        let verdict = resolve_cursor(pending.cursor, &histories, log);
        if pending.cursor.is_some() {
            counters.resume(matches!(verdict, ResumeDecision::Resume(_)));
        }
        if self.joined_at.is_none() {
            self.joined_at = Some(head);
            self.position = head;
        }
        // Everything after this is delivered.
        let after = match verdict {
            ResumeDecision::Fresh | ResumeDecision::Gap(_) => head,
            ResumeDecision::Resume(after) => after,
        };
        if let ResumeDecision::Gap(reason) = verdict {
            let id = log.id(self.position);
            self.batch.push_back(Delivery::Gap { id, reason });
        }
        let keys = pending.channels.iter().map(|(key, _)| *key);
        self.catch_up = Some(CatchUp {
            channels: pending.channels.iter().map(|(_, n)| n.clone()).collect(),
            until: head,
            replay: (after < self.position).then(|| Replay {
                histories: keys.zip(histories.iter().copied()).collect(),
                after,
                until: self.position,
            }),
        });
        self.add_memberships(pending.channels, histories, after);
        Ok(())
    }

    /// The histories of the oldest pending `join`, when it is ready.
    fn listened(&self, state: &State) -> Result<Option<Vec<HistoryKey>>, Ended> {
        let Some(pending) = self.pending.front() else {
            return Ok(None);
        };
        // `Live` has to be delivered first if the reader is behind.
        if state.source != SourceState::Live || !self.live_sent {
            return Ok(None);
        }
        let mut histories = Vec::with_capacity(pending.channels.len());
        for (key, name) in &pending.channels {
            match state.readers.listening(*key) {
                ListenState::Committed(history) => histories.push(history),
                ListenState::Asked => return Ok(None),
                ListenState::Refused(_) => return Err(Ended::Refused(name.clone())),
            }
        }
        Ok(Some(histories))
    }

    /// A channel that is read already keeps its position.
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
                    attached: false,
                });
            }
        }
        self.unattached = true;
    }
}

fn resolve_cursor(cursor: Option<Cursor>, histories: &[HistoryKey], log: &Log) -> ResumeDecision {
    let Some(cursor) = cursor else {
        return ResumeDecision::Fresh;
    };
    let known = |id: &EventId| id.epoch == log.epoch() && id.sequence <= log.head();
    match cursor {
        Cursor::At(id) if known(&id) => {
            if log.covers(histories.iter().copied(), id.sequence) {
                ResumeDecision::Resume(id.sequence)
            } else {
                ResumeDecision::Gap(GapReason::CursorTooOld)
            }
        }
        Cursor::At(_) | Cursor::Invalid => ResumeDecision::Gap(GapReason::UnknownCursor),
    }
}
