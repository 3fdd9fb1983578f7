//! Who reads which channel, and what is wanted from the source. No async.

use std::{
    collections::{HashMap, HashSet},
    task::Waker,
    time::Duration,
};

use slab::Slab;
use tokio::time::Instant;

use super::{
    lingering::Lingering,
    log::{HistoryKey, Log},
    view::ChannelView,
    writer::{WriterKey, WriterSet},
};
use crate::{
    demand::{Demand, Generation, Wish},
    event::{ChannelName, WIRES, WireName},
};

/// Names one reader. Valid until [`Readers::leave`].
pub(super) type ReaderKey = usize;

/// Names one channel. Valid as long as a reader has joined it.
pub(super) type ChannelKey = usize;

/// How far the source has come with a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Listening {
    /// LISTEN has not committed yet.
    Asked,
    /// LISTEN has committed; a lost session repeats it before it is live.
    Committed(HistoryKey),
    /// PostgreSQL cannot listen to this name, in its encoding; an earlier
    /// server perhaps could.
    Refused(Option<HistoryKey>),
}

impl Listening {
    fn history(self) -> Option<HistoryKey> {
        match self {
            Self::Asked => None,
            Self::Committed(history) => Some(history),
            Self::Refused(history) => history,
        }
    }
}

/// One reader's, until it leaves.
#[derive(Debug)]
struct Place {
    wire: WireName,
    waker: Option<Waker>,
    /// The gateway is shutting down, and it is this reader's turn.
    ended: bool,
}

#[derive(Debug)]
struct Channel {
    name: ChannelName,
    generation: Generation,
    listening: Listening,
    /// Those that are woken for its events.
    readers: HashSet<ReaderKey>,
    /// How many readers are served by a writer.
    seated: usize,
    /// The writers that have, or once had, one of those.
    writers: WriterSet,
    /// When the last reader left.
    idle_since: Option<Instant>,
    /// What came on it since somebody reads it.
    events: u64,
}

/// Every place for a channel is taken by one that has readers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NoRoom;

/// See the module.
#[derive(Debug)]
pub(super) struct Readers {
    demand: Demand,
    max_channels: usize,
    names: HashMap<ChannelName, ChannelKey>,
    channels: Slab<Channel>,
    lingering: Lingering,
    places: Slab<Place>,
    by_wire: [usize; WIRES],
    generation: Generation,
    /// Channels that PostgreSQL cannot listen to.
    refusals: usize,
}

impl Readers {
    pub(super) fn new(demand: Demand, max_channels: usize) -> Self {
        Self {
            demand,
            max_channels,
            names: HashMap::new(),
            channels: Slab::new(),
            lingering: Lingering::default(),
            places: Slab::new(),
            by_wire: [0; WIRES],
            generation: 0,
            refusals: 0,
        }
    }

    pub(super) fn set_max_channels(&mut self, max_channels: usize) {
        self.max_channels = max_channels;
    }

    pub(super) fn count(&self) -> usize {
        self.places.len()
    }

    pub(super) fn by_wire(&self) -> [usize; WIRES] {
        self.by_wire
    }

    pub(super) fn channels(&self) -> usize {
        self.channels.len()
    }

    /// Those of one channel.
    pub(super) fn of(&self, key: ChannelKey) -> usize {
        let channel = &self.channels[key];
        channel.readers.len() + channel.seated
    }

    pub(super) fn enter(&mut self, wire: WireName) -> ReaderKey {
        self.by_wire[wire as usize] += 1;
        self.places.insert(Place {
            wire,
            waker: None,
            ended: false,
        })
    }

    pub(super) fn leave(&mut self, reader: ReaderKey) {
        let place = self.places.remove(reader);
        self.by_wire[place.wire as usize] -= 1;
    }

    /// Looks at `count` places for channels from `first`, and says where the
    /// next are.
    pub(super) fn view(
        &self,
        first: ChannelKey,
        count: usize,
        views: &mut Vec<ChannelView>,
    ) -> Option<ChannelKey> {
        let end = first + count;
        let channels = (first..end).filter_map(|key| self.channels.get(key));
        views.extend(channels.map(|channel| ChannelView {
            name: channel.name.clone(),
            readers: channel.readers.len() + channel.seated,
            events: channel.events,
        }));
        (end < self.channels.capacity()).then_some(end)
    }

    /// Remembers whom to wake for this reader, until it is woken once.
    pub(super) fn wait(&mut self, reader: ReaderKey, waker: &Waker) {
        let slot = &mut self.places[reader].waker;
        if !slot.as_ref().is_some_and(|known| known.will_wake(waker)) {
            *slot = Some(waker.clone());
        }
    }

    /// Joins `names`, all or none, in their order; asks the source for those
    /// that nobody has read. At `max_channels` a channel that only lingers
    /// gives its place to a new one. Where the reader `is_seated` it stays so.
    pub(super) fn join(
        &mut self,
        reader: ReaderKey,
        names: &[ChannelName],
        is_seated: impl Fn(ChannelKey) -> bool,
        log: &mut Log,
    ) -> Result<Vec<ChannelKey>, NoRoom> {
        self.make_room(names, log)?;
        let keys: Vec<_> = names.iter().map(|name| self.find_or_ask(name)).collect();
        for &key in keys.iter().filter(|key| !is_seated(**key)) {
            let channel = &mut self.channels[key];
            channel.readers.insert(reader);
            if let Some(since) = channel.idle_since.take() {
                self.lingering.remove(since, key);
            }
        }
        Ok(keys)
    }

    /// From now on `writer` serves the reader on this channel.
    pub(super) fn seat(&mut self, reader: ReaderKey, key: ChannelKey, writer: WriterKey) {
        let channel = &mut self.channels[key];
        channel.readers.remove(&reader);
        channel.seated += 1;
        channel.writers.insert(writer);
    }

    /// Who serves readers of this channel.
    pub(super) fn writers(&self, key: ChannelKey) -> WriterSet {
        let channel = self.channels.get(key).filter(|channel| channel.seated > 0);
        channel.map(|channel| channel.writers).unwrap_or_default()
    }

    fn make_room(&mut self, names: &[ChannelName], log: &mut Log) -> Result<(), NoRoom> {
        let new = names
            .iter()
            .filter(|n| !self.names.contains_key(*n))
            .count();
        let excess = (self.channels.len() + new).saturating_sub(self.max_channels);
        // Over a limit that was lowered, who asks for nothing new takes no place.
        if new == 0 || excess == 0 {
            return Ok(());
        }
        let lingering = self.lingering.keys();
        let unasked = lingering.filter(|&key| !names.contains(&self.channels[key].name));
        let longest: Vec<_> = unasked.take(excess).collect();
        if longest.len() < excess {
            return Err(NoRoom);
        }
        for key in longest {
            self.give_up(key, log);
        }
        Ok(())
    }

    fn find_or_ask(&mut self, name: &ChannelName) -> ChannelKey {
        if let Some(&key) = self.names.get(name) {
            return key;
        }
        self.generation += 1;
        self.demand
            .wish(name.clone(), Wish::Listen(self.generation));
        let key = self.channels.insert(Channel {
            name: name.clone(),
            generation: self.generation,
            listening: Listening::Asked,
            readers: HashSet::new(),
            seated: 0,
            writers: WriterSet::default(),
            idle_since: None,
            events: 0,
        });
        self.names.insert(name.clone(), key);
        key
    }

    pub(super) fn part(&mut self, reader: ReaderKey, key: ChannelKey, now: Instant) {
        let channel = &mut self.channels[key];
        if !channel.readers.remove(&reader) {
            channel.seated -= 1;
        }
        if channel.readers.is_empty() && channel.seated == 0 {
            channel.idle_since = Some(now);
            self.lingering.insert(now, key);
        }
    }

    /// Gives up the channels that nobody has read for `linger`.
    pub(super) fn sweep(&mut self, linger: Duration, log: &mut Log, now: Instant) {
        while let Some(key) = self.lingering.expired(linger, now) {
            self.give_up(key, log);
        }
    }

    fn give_up(&mut self, key: ChannelKey, log: &mut Log) {
        let channel = self.channels.remove(key);
        if let Some(since) = channel.idle_since {
            self.lingering.remove(since, key);
        }
        if let Listening::Refused(_) = channel.listening {
            self.refusals -= 1;
        }
        if let Some(history) = channel.listening.history() {
            log.close(history);
        }
        self.names.remove(&channel.name);
        self.demand.wish(channel.name, Wish::Unlisten);
    }

    /// LISTEN has committed, for the wish of this generation. An answer to an
    /// older wish is not for this channel's readers: an UNLISTEN came between.
    pub(super) fn committed(
        &mut self,
        name: &ChannelName,
        generation: Generation,
        log: &mut Log,
    ) -> Option<ChannelKey> {
        let (key, channel) = self.wished(name, generation)?;
        if channel.listening != Listening::Asked {
            return None;
        }
        channel.listening = Listening::Committed(log.open());
        Some(key)
    }

    /// PostgreSQL cannot listen to this name.
    pub(super) fn refused(
        &mut self,
        name: &ChannelName,
        generation: Generation,
    ) -> Option<ChannelKey> {
        let (key, channel) = self.wished(name, generation)?;
        let was = channel.listening;
        channel.listening = Listening::Refused(was.history());
        if !matches!(was, Listening::Refused(_)) {
            self.refusals += 1;
        }
        Some(key)
    }

    /// The channel, if the answer is to its newest wish.
    fn wished(
        &mut self,
        name: &ChannelName,
        generation: Generation,
    ) -> Option<(ChannelKey, &mut Channel)> {
        let key = *self.names.get(name)?;
        let channel = &mut self.channels[key];
        (channel.generation == generation).then_some((key, channel))
    }

    /// Whether there is a channel that PostgreSQL cannot listen to: seldom.
    pub(super) fn has_refusals(&self) -> bool {
        self.refusals > 0
    }

    pub(super) fn listening(&self, key: ChannelKey) -> Listening {
        self.channels[key].listening
    }

    /// Something came on the channel of this name; counts, if LISTEN has
    /// committed.
    pub(super) fn notified(
        &mut self,
        name: &str,
    ) -> Option<(ChannelKey, HistoryKey, &ChannelName)> {
        let key = *self.names.get(name)?;
        let channel = &mut self.channels[key];
        let Listening::Committed(history) = channel.listening else {
            return None;
        };
        channel.events += 1;
        Some((key, history, &channel.name))
    }

    /// Takes the wakers of those who wait on a channel.
    pub(super) fn wake(&mut self, key: ChannelKey, wakers: &mut Vec<Waker>) {
        let Some(channel) = self.channels.get(key) else {
            return;
        };
        let waiting = channel.readers.iter();
        wakers.extend(waiting.filter_map(|&reader| self.places[reader].waker.take()));
    }

    /// Takes the wakers of all who wait.
    pub(super) fn wake_all(&mut self, wakers: &mut Vec<Waker>) {
        let places = self.places.iter_mut();
        wakers.extend(places.filter_map(|(_, place)| place.waker.take()));
    }

    /// Ends the streams of `count` readers, and says how many go on.
    pub(super) fn end(&mut self, count: usize, wakers: &mut Vec<Waker>) -> usize {
        let mut going_on = self.places.iter_mut().filter(|(_, place)| !place.ended);
        for (_, place) in going_on.by_ref().take(count) {
            place.ended = true;
            wakers.extend(place.waker.take());
        }
        going_on.count()
    }

    pub(super) fn has_ended(&self, reader: ReaderKey) -> bool {
        self.places[reader].ended
    }
}
