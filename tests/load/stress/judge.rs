//! The judge of one stream, by the contract: each event of its channels once, in
//! the order of the commits, or a gap in its place; what a cursor asked for
//! before `ready`; nothing that was not asked for.
//!
//! It does no I/O and reads no clock.

use std::collections::{BTreeMap, VecDeque};

use super::{
    ledger::{CHANNELS, Id, Ledger, name},
    position::{Cursor, Joining, Judged, Track, Violation, ensure, violation},
};
use crate::support::Said;

#[derive(Debug)]
pub struct Judge {
    gateway: usize,
    /// The transport carries events only; the 101 counts as `ready`.
    is_raw: bool,
    tracks: BTreeMap<usize, Track>,
    /// Answered one after the other.
    joining: VecDeque<Joining>,
    /// Number of joins so far.
    joins: u32,
    /// After the last note of the channels that are ready.
    last: u64,
    /// The sequence of the newest message, without the replay of a later join.
    sequence: u64,
    is_interrupted: bool,
    /// The newest that a client would keep.
    pub cursor: Option<Cursor>,
    pub events: u64,
    /// Cursors that were honoured.
    pub resumes: u64,
}

impl Judge {
    pub fn new(gateway: usize, is_raw: bool) -> Self {
        Self {
            gateway,
            is_raw,
            tracks: BTreeMap::new(),
            joining: VecDeque::new(),
            joins: 0,
            last: 0,
            sequence: 0,
            is_interrupted: false,
            cursor: None,
            events: 0,
            resumes: 0,
        }
    }

    /// Called before the request is sent, for channels that it does not read.
    pub fn subscribe(&mut self, channels: &[usize], cursor: Option<Cursor>, ledger: &Ledger) {
        let seen = ledger.seen_by(self.gateway);
        let own = cursor.as_ref().filter(|c| c.gateway == self.gateway);
        let low = own.map_or(seen, |cursor| cursor.low);
        self.joins += 1;
        for &channel in channels {
            let track = Track {
                next: ledger.index(channel, low),
                due: own.map_or(u64::MAX, |cursor| cursor.due[channel]),
                join: self.joins,
                is_leaving: false,
            };
            self.tracks.insert(channel, track);
        }
        self.joining.push_back(Joining {
            number: self.joins,
            channels: channels.iter().map(|channel| name(*channel)).collect(),
            cursor,
            seen,
            last: low,
            is_refused: false,
        });
    }

    /// Called before the request is sent.
    pub fn unsubscribe(&mut self, channels: &[usize]) {
        for channel in channels {
            if let Some(track) = self.tracks.get_mut(channel) {
                track.is_leaving = true;
            }
        }
    }

    pub fn receive(&mut self, said: &Said, ledger: &mut Ledger) -> Judged {
        match said {
            Said::Event {
                id,
                channel,
                payload,
            } => self.event(id, channel, payload, ledger),
            Said::Ready { channels, cursor } => self.ready(channels, cursor, ledger),
            Said::Gap { id, reason } => self.gap(id, reason, ledger),
            Said::Interrupted => {
                self.is_interrupted = true;
                Ok(())
            }
            Said::Live { cursor } => {
                self.is_interrupted = false;
                self.moved_to(cursor, ledger)
            }
            Said::Answer(answer) if answer["type"] == "unsubscribed" => {
                let channels = answer["channels"].as_array().into_iter().flatten();
                let names: Vec<_> = channels.filter_map(|name| name.as_str()).collect();
                self.left(&names);
                Ok(())
            }
            Said::Answer(answer) => Err(violation(format!("unexpected {answer}"))),
            Said::Closed(..) => Ok(()),
        }
    }

    /// A join that has no channel any more gets no `ready`.
    fn left(&mut self, names: &[&str]) {
        let is_left = |text: &str| names.contains(&text);
        self.tracks.retain(|channel, _| !is_left(&name(*channel)));
        for joining in &mut self.joining {
            joining.channels.retain(|channel| !is_left(channel));
        }
        self.joining.retain(|joining| !joining.channels.is_empty());
    }

    fn event(&mut self, id: &str, channel: &str, payload: &str, ledger: &mut Ledger) -> Judged {
        let id = Id::parse(id);
        let (note, channel) = ledger
            .delivered(self.gateway, channel, payload, id.as_ref())
            .map_err(violation)?;
        self.events += 1;
        ensure(!self.is_interrupted, || format!("{note} while interrupted"))?;
        let track = self.tracks.get(&channel);
        let track =
            track.ok_or_else(|| violation(format!("{note} of a channel that was not asked")))?;
        let join = track.join;
        let last = match self.joining.iter_mut().find(|j| j.number == join) {
            Some(joining) => joining.replayed(note, id.as_ref())?,
            None => &mut self.last,
        };
        let before = std::mem::replace(last, note + 1);
        ensure(note >= before, || format!("{note} after {before}"))?;
        for (channel, track) in &mut self.tracks {
            if track.join == join {
                track.pass(ledger.of(*channel), note, ledger)?;
                // Whatever follows it in the log has to come.
                track.due = track.due.min(note + 1);
            }
        }
        let track = self
            .tracks
            .get_mut(&channel)
            .ok_or_else(|| violation("gone"))?;
        let next = ledger.of(channel).get(track.next);
        ensure(next == Some(&note), || format!("{note} again, or unasked"))?;
        track.next += 1;
        if self.keeps_cursors() {
            self.advance(id, note)?;
        }
        Ok(())
    }

    /// Ids of a later join's replay are older than the stream's.
    fn keeps_cursors(&self) -> bool {
        self.joining.front().is_none_or(|join| join.number == 1)
    }

    fn advance(&mut self, id: Option<Id>, note: u64) -> Judged {
        let Some(id) = id else { return Ok(()) };
        ensure(id.sequence > self.sequence, || {
            format!("{note} has {id:?} after {}", self.sequence)
        })?;
        self.sequence = id.sequence;
        self.cursor = Some(Cursor {
            text: format!("{}-{}", id.epoch, id.sequence),
            gateway: self.gateway,
            sequence: id.sequence,
            low: note + 1,
            due: [note + 1; CHANNELS],
        });
        Ok(())
    }

    fn ready(&mut self, channels: &[String], cursor: &str, ledger: &Ledger) -> Judged {
        let joining = self.joining.pop_front();
        let joining = joining.ok_or_else(|| violation("`ready` that nobody asked for"))?;
        ensure(!self.is_interrupted, || "`ready` while interrupted".into())?;
        ensure(channels == joining.channels, || {
            format!("ready: {channels:?}")
        })?;
        let is_resumed = joining.cursor.is_some() && !joining.is_refused;
        if let Some(asked) = joining.cursor.as_ref().filter(|_| is_resumed) {
            ensure(asked.gateway == self.gateway, || {
                "honoured a strange cursor".into()
            })?;
            self.resumes += 1;
        }
        for track in self.tracks.values_mut() {
            if track.join == joining.number {
                track.join = 0;
                // Nothing before the `ready` was due of a join without a cursor.
                track.due = if is_resumed { track.due } else { ledger.end() };
            }
        }
        if !self.is_raw {
            self.up_to_date(joining.seen, ledger)?;
            self.last = self.last.max(joining.seen);
        }
        self.last = self.last.max(joining.last);
        self.moved_to(cursor, ledger)
    }

    /// Fails if a note before `end` is due and was not delivered.
    fn up_to_date(&self, end: u64, ledger: &Ledger) -> Judged {
        let mut tracks = self.tracks.iter().filter(|(_, track)| track.join == 0);
        let missing = tracks.find_map(|(channel, t)| t.missing(ledger.of(*channel), end, ledger));
        missing.map_or(Ok(()), |note| {
            Err(violation(format!(
                "`ready` before {note}, which it asked for"
            )))
        })
    }

    fn gap(&mut self, id: &str, reason: &str, ledger: &Ledger) -> Judged {
        match reason {
            "source_lost" | "slow_reader" => {
                for track in self
                    .tracks
                    .values_mut()
                    .filter(|track| track.due != u64::MAX)
                {
                    track.due = ledger.end();
                }
            }
            "unknown_cursor" | "cursor_too_old" => self.refused(reason, ledger)?,
            _ => return Err(violation(format!("gap: {reason}"))),
        }
        if self.keeps_cursors() && !id.is_empty() {
            self.moved_to(id, ledger)?;
        }
        Ok(())
    }

    /// One gap before the `ready`. A history that is overtaken in the middle of a
    /// replay has the gap in the place of the rest.
    fn refused(&mut self, reason: &str, ledger: &Ledger) -> Judged {
        let gateway = self.gateway;
        let joining = self.joining.front_mut();
        let joining = joining.ok_or_else(|| violation(format!("{reason} after `ready`")))?;
        let cursor = joining.cursor.as_ref().filter(|_| !joining.is_refused);
        let cursor = cursor.ok_or_else(|| violation(format!("{reason}: no cursor, or again")))?;
        let is_strange = cursor.gateway != gateway;
        ensure(is_strange == (reason == "unknown_cursor"), || {
            format!("{reason} for a cursor of gateway {}", cursor.gateway)
        })?;
        let is_overtaken = !is_strange && joining.last > cursor.low;
        joining.is_refused = !is_overtaken;
        let number = joining.number;
        for track in self.tracks.values_mut().filter(|t| t.join == number) {
            track.due = if is_overtaken { ledger.end() } else { u64::MAX };
        }
        Ok(())
    }

    /// A frame of an idle stream: no cursor that is ahead of what was sent.
    pub fn ping(&mut self, cursor: &str, ledger: &Ledger) -> Judged {
        self.moved_to(cursor, ledger)
    }

    /// A cursor that comes without an event.
    fn moved_to(&mut self, cursor: &str, ledger: &Ledger) -> Judged {
        let Some(id) = Id::parse(cursor).filter(|_| self.keeps_cursors()) else {
            return Ok(());
        };
        ensure(id.sequence >= self.sequence, || {
            format!("cursor {cursor} after {}", self.sequence)
        })?;
        self.sequence = id.sequence;
        let low = self.joining.front().map_or(0, Joining::reached);
        let may_come = |channel: usize| {
            let track = self
                .tracks
                .get(&channel)
                .filter(|track| !track.is_leaving)?;
            Some((*ledger.of(channel).get(track.next)?).max(track.due))
        };
        let due = |channel| may_come(channel).unwrap_or(u64::MAX).min(ledger.end());
        self.cursor = Some(Cursor {
            text: cursor.to_owned(),
            gateway: self.gateway,
            sequence: id.sequence,
            low: self.last.max(low),
            due: std::array::from_fn(due),
        });
        Ok(())
    }

    pub fn channels(&self) -> Vec<usize> {
        self.tracks.keys().copied().collect()
    }

    pub fn joining(&self) -> usize {
        self.joining.len()
    }

    /// The first delivery that is due, after the last note was written.
    pub fn waits_for(&self, ledger: &Ledger) -> Option<Violation> {
        if !self.joining.is_empty() || self.is_interrupted {
            return Some(violation("neither ready nor live"));
        }
        let mut tracks = self.tracks.iter();
        let end = ledger.end();
        tracks.find_map(|(channel, t)| {
            t.missing(ledger.of(*channel), end, ledger)
                .map(Violation::Missing)
        })
    }
}
