//! Writers: each serves the readers that are seated with it, and writes what
//! came on a channel to one after the other, straight from the log.
//!
//! A writer is never sure that it may write: a reader that is at work, behind,
//! ahead, or due something else first reads the log itself, as every reader
//! can. So what a writer does is an abbreviation, and nothing else.

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
    channel::Listening,
    direct_slot::Seat,
    event_batch::Burst,
    log::Log,
    readers::{ChannelKey, ReaderKey, Readers},
};
use crate::event::WIRES;

/// Names one writer: its place among them.
pub(super) type WriterKey = usize;

/// As many as a [`WriterSet`] can hold; machines have fewer cores, mostly.
pub(super) const MAX_WRITERS: usize = u64::BITS as usize;

/// Readers served between two looks at what else there is to do: with a write
/// of 2 to 5 µs each, half a millisecond to one.
const TURN: usize = 256;

/// Changes that wait in an inbox before its writer is woken for them alone.
const CHANGES: usize = 64;

/// A writer rests so many times as long as it has written: one that has to
/// write more often than that sends what came meanwhile in one write. Who
/// writes seldom does not wait.
const REST: u32 = 3;

/// The longest rest: what it adds to the way of an event where much is written.
const MAX_REST: Duration = Duration::from_millis(10);

/// The runtime's clock knows none that is shorter.
const MIN_REST: Duration = Duration::from_millis(1);

fn rest_after(writing: Duration) -> Duration {
    let rest = (writing * REST).min(MAX_REST);
    if rest < MIN_REST {
        Duration::ZERO
    } else {
        rest
    }
}

/// Some of the writers.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct WriterSet(u64);

impl WriterSet {
    pub(super) fn insert(&mut self, writer: WriterKey) {
        self.0 |= 1 << writer;
    }

    fn contains(self, writer: WriterKey) -> bool {
        self.0 & (1 << writer) != 0
    }
}

/// What a writer has to look at, under the hub's lock.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    waker: Option<Waker>,
    changes: Vec<Change>,
    /// Channels on which something came; some perhaps twice.
    touched: Vec<ChannelKey>,
}

/// In the order in which they happened.
#[derive(Debug)]
enum Change {
    /// A reader is seated on a channel, at this head of the log.
    Seated(ChannelKey, ReaderKey, Arc<Seat>, u64),
    Left(ChannelKey, ReaderKey),
}

/// The inboxes of all writers.
#[derive(Debug, Default)]
pub(super) struct Inboxes(Vec<Inbox>);

impl Inboxes {
    /// Who serves this reader; none where there are no writers.
    pub(super) fn writer_of(&self, reader: ReaderKey) -> Option<WriterKey> {
        reader.checked_rem(self.0.len())
    }

    pub(super) fn seated(
        &mut self,
        writer: WriterKey,
        channel: ChannelKey,
        (reader, seat): (ReaderKey, &Arc<Seat>),
        head: u64,
    ) {
        let seated = Change::Seated(channel, reader, Arc::clone(seat), head);
        self.0[writer].change(seated);
    }

    pub(super) fn left(&mut self, writer: WriterKey, channel: ChannelKey, reader: ReaderKey) {
        self.0[writer].change(Change::Left(channel, reader));
    }

    /// Something came on `channel`; `writers` are to look.
    pub(super) fn touch(
        &mut self,
        channel: ChannelKey,
        writers: WriterSet,
        wakers: &mut Vec<Waker>,
    ) {
        for (writer, inbox) in self.0.iter_mut().enumerate() {
            if writers.contains(writer) {
                inbox.touched.push(channel);
                wakers.extend(inbox.waker.take());
            }
        }
    }
}

impl Inbox {
    fn change(&mut self, change: Change) {
        self.changes.push(change);
        if self.changes.len() >= CHANGES {
            self.waker.take().into_iter().for_each(Waker::wake);
        }
    }
}

/// The readers of one channel that are seated here.
#[derive(Debug)]
struct Roster {
    /// They were given everything up to here, or were not asleep.
    looked: u64,
    seats: BTreeMap<ReaderKey, Arc<Seat>>,
}

/// See the module.
#[derive(Debug)]
pub struct Writer {
    hub: Hub,
    key: WriterKey,
    rosters: HashMap<ChannelKey, Roster>,
    /// Something that came already is for the next round.
    is_behind: bool,
}

impl Hub {
    /// The writers, to be run each in a task; before the first reader comes.
    /// Without any, every reader is woken for its events.
    pub fn writers(&self, count: usize) -> Vec<Writer> {
        let count = count.min(MAX_WRITERS);
        let mut state = self.lock();
        state.inboxes.0.resize_with(count, Inbox::default);
        let writer = |key| Writer {
            hub: self.clone(),
            key,
            rosters: HashMap::new(),
            is_behind: false,
        };
        (0..count).map(writer).collect()
    }
}

impl Writer {
    /// Does not end.
    pub async fn run(mut self) {
        loop {
            let bursts = poll_fn(|cx| self.poll_bursts(cx)).await;
            let began = Instant::now();
            self.give(bursts).await;
            let rest = rest_after(began.elapsed());
            if !rest.is_zero() && !self.is_behind {
                sleep(rest).await;
            }
        }
    }

    /// Each burst is let go of when it is given: what it has in one piece is
    /// beyond the log's limits.
    async fn give(&self, bursts: Vec<(ChannelKey, Burst)>) {
        let counters = &self.hub.shared.counters;
        let mut turn = 0;
        for (channel, burst) in bursts {
            let Some(roster) = self.rosters.get(&channel) else {
                continue;
            };
            // Counted a turn at a time: the clock too costs something.
            let mut given = [0; WIRES];
            for seat in roster.seats.values() {
                if let Some(wire) = seat.give(&burst) {
                    given[wire as usize] += burst.len();
                }
                turn += 1;
                if turn % TURN == 0 {
                    counters.given(mem::take(&mut given), &burst);
                    yield_now().await;
                }
            }
            counters.given(given, &burst);
        }
    }

    /// All that is there now.
    #[cfg(test)]
    pub(super) async fn round(&mut self) {
        let bursts = poll_fn(|cx| self.poll_bursts(cx)).await;
        self.give(bursts).await;
    }

    fn poll_bursts(&mut self, cx: &mut Context<'_>) -> Poll<Vec<(ChannelKey, Burst)>> {
        let Self {
            hub, key, rosters, ..
        } = self;
        // Outlives the lock: what a seat holds may take locks of its own.
        let mut left = Vec::new();
        let mut state = hub.lock();
        let State {
            inboxes,
            log,
            readers,
            ..
        } = &mut *state;
        let inbox = &mut inboxes.0[*key];
        for change in inbox.changes.drain(..) {
            left.extend(apply(change, rosters));
        }
        let touched = mem::take(&mut inbox.touched);
        let bursts = look(touched, rosters, (readers, log), &mut inbox.touched);
        self.is_behind = !inbox.touched.is_empty();
        if bursts.is_empty() {
            inbox.waker = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(bursts)
    }
}

/// Returns the seat of who left, or of who had this key before.
fn apply(change: Change, rosters: &mut HashMap<ChannelKey, Roster>) -> Option<Arc<Seat>> {
    match change {
        Change::Seated(channel, reader, seat, head) => {
            let roster = rosters.entry(channel).or_insert_with(|| Roster {
                looked: head,
                seats: BTreeMap::new(),
            });
            roster.seats.insert(reader, seat)
        }
        Change::Left(channel, reader) => {
            let roster = rosters.get_mut(&channel)?;
            let seat = roster.seats.remove(&reader);
            if roster.seats.is_empty() {
                rosters.remove(&channel);
            }
            seat
        }
    }
}

/// What came on the channels that have a roster. Of those that had more than a
/// burst may hold the rest is for the next round: they go to `again`.
fn look(
    mut touched: Vec<ChannelKey>,
    rosters: &mut HashMap<ChannelKey, Roster>,
    (readers, log): (&Readers, &Log),
    again: &mut Vec<ChannelKey>,
) -> Vec<(ChannelKey, Burst)> {
    touched.sort_unstable();
    touched.dedup();
    touched.retain(|channel| rosters.contains_key(channel));
    // A quiet channel does not wait for a crowd's.
    touched.sort_by_key(|channel| rosters[channel].seats.len());
    let alone = touched.len() == 1;
    let mut bursts = Vec::with_capacity(touched.len());
    for channel in touched {
        // A refusal comes before `live`, which wakes everybody.
        let Listening::Committed(history) = readers.listening(channel) else {
            continue;
        };
        let Some(roster) = rosters.get_mut(&channel) else {
            continue;
        };
        let (burst, is_all) = log.burst(history, roster.looked, alone);
        roster.looked = burst.until().max(roster.looked);
        if !is_all {
            again.push(channel);
        }
        bursts.push((channel, burst));
    }
    bursts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_writes_much_rests() {
        let rest = |micros| rest_after(Duration::from_micros(micros));
        assert_eq!(rest(300), Duration::ZERO);
        assert_eq!(rest(1000), Duration::from_millis(3));
        assert_eq!(rest(60_000), MAX_REST);
    }
}
