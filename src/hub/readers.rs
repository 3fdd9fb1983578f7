//! Readers of each channel, and the LISTEN requests to the source. No async.

mod limits;

use std::{collections::HashMap, task::Waker, time::Duration};

pub(super) use limits::LimitReached;
pub use limits::NewChannels;

use slab::Slab;
use tokio::time::Instant;

use super::{
    channel::{Channel, ListenState},
    channel_quota::{ChannelQuota, ClientKey},
    fanout_worker::{WorkerKey, WorkerSet},
    idle_channels::IdleChannels,
    log::{HistoryKey, Log},
    view::ChannelView,
};
use crate::{
    channel_demand::{Demand, Generation, ListenRequest, Rank},
    event::{ChannelName, WIRES, WireName},
};

/// Key of one reader. Valid until [`Readers::leave`].
pub(super) type ReaderKey = usize;

/// Key of one channel. Valid until the channel is given up.
pub(super) type ChannelKey = usize;

/// State of one reader, until it leaves.
#[derive(Debug)]
struct Place {
    wire: WireName,
    client: ClientKey,
    waker: Option<Waker>,
    /// The gateway is shutting down, and has ended this reader's stream.
    ended: bool,
}

/// Registry of readers and channels.
#[derive(Debug)]
pub(super) struct Readers {
    demand: Demand,
    max_channels: usize,
    names: HashMap<ChannelName, ChannelKey>,
    channels: Slab<Channel>,
    quota: ChannelQuota,
    idle: IdleChannels,
    places: Slab<Place>,
    by_wire: [usize; WIRES],
    generation: Generation,
    /// Channels that PostgreSQL cannot listen to.
    refusals: usize,
}

impl Readers {
    pub(super) fn new(demand: Demand, max_channels: usize, client_limit: usize) -> Self {
        Self {
            demand,
            max_channels,
            names: HashMap::new(),
            channels: Slab::new(),
            quota: ChannelQuota::new(client_limit),
            idle: IdleChannels::default(),
            places: Slab::new(),
            by_wire: [0; WIRES],
            generation: 0,
            refusals: 0,
        }
    }

    pub(super) fn set_max_channels(&mut self, max_channels: usize, client_limit: usize) {
        self.max_channels = max_channels;
        self.quota.limit = client_limit;
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

    /// Number of readers of one channel.
    pub(super) fn of(&self, key: ChannelKey) -> usize {
        self.channels[key].count()
    }

    pub(super) fn enter(&mut self, wire: WireName, client: ClientKey) -> ReaderKey {
        self.by_wire[wire as usize] += 1;
        self.places.insert(Place {
            wire,
            client,
            waker: None,
            ended: false,
        })
    }

    pub(super) fn leave(&mut self, reader: ReaderKey) {
        let place = self.places.remove(reader);
        self.by_wire[place.wire as usize] -= 1;
    }

    /// Visits `count` keys from `first`, and returns the first key of the next
    /// call.
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
            readers: channel.count(),
            events: channel.events,
        }));
        (end < self.channels.capacity()).then_some(end)
    }

    /// Stores the waker of this reader, until it is woken once.
    pub(super) fn wait(&mut self, reader: ReaderKey, waker: &Waker) {
        let slot = &mut self.places[reader].waker;
        if !slot.as_ref().is_some_and(|known| known.will_wake(waker)) {
            *slot = Some(waker.clone());
        }
    }

    /// Joins `names`, all or none, in their order. Creates the channels that do not
    /// exist, within the limits and if `may_create` permits it, and asks the source
    /// for them. A reader that `is_attached` on a channel stays attached.
    pub(super) fn join(
        &mut self,
        reader: ReaderKey,
        names: &[ChannelName],
        is_attached: impl Fn(ChannelKey) -> bool,
        may_create: impl FnOnce(NewChannels) -> bool,
        log: &mut Log,
    ) -> Result<Vec<ChannelKey>, LimitReached> {
        self.make_room(self.places[reader].client, names, may_create, log)?;
        let before = self.generation;
        let asked = names
            .iter()
            .map(|name| self.find_or_ask(name, reader, before));
        let keys: Vec<_> = asked.collect();
        for &key in keys.iter().filter(|key| !is_attached(**key)) {
            let channel = &mut self.channels[key];
            channel.woken.insert(reader);
            if let Some(since) = channel.idle_since.take() {
                self.idle.remove(channel.owner, since, key);
            }
            self.offer(key, reader);
        }
        Ok(keys)
    }

    /// Attaches the reader to `worker` on this channel.
    pub(super) fn slot(&mut self, reader: ReaderKey, key: ChannelKey, worker: WorkerKey) {
        let channel = &mut self.channels[key];
        channel.woken.remove(&reader);
        channel.attached.insert(reader);
        channel.workers.insert(worker);
    }

    /// Workers to which readers of this channel are, or once were, attached; none if no
    /// reader is attached now.
    pub(super) fn workers(&self, key: ChannelKey) -> WorkerSet {
        let channel = self.channels.get(key);
        let channel = channel.filter(|channel| !channel.attached.is_empty());
        channel.map(|channel| channel.workers).unwrap_or_default()
    }

    /// `before` is the newest generation of earlier requests.
    fn find_or_ask(
        &mut self,
        name: &ChannelName,
        reader: ReaderKey,
        before: Generation,
    ) -> ChannelKey {
        if let Some(&key) = self.names.get(name) {
            return key;
        }
        let rank = Rank::try_from(self.generation - before).unwrap_or(Rank::MAX);
        self.generation += 1;
        let (generation, client) = (self.generation, self.places[reader].client);
        self.demand
            .wish(name.clone(), ListenRequest::Listen(generation, rank));
        self.quota.add(client);
        let channel = Channel::new(name.clone(), generation, (client, reader));
        let key = self.channels.insert(channel);
        self.names.insert(name.clone(), key);
        key
    }

    pub(super) fn leave_channel(&mut self, reader: ReaderKey, key: ChannelKey, now: Instant) {
        let channel = &mut self.channels[key];
        channel.leave(reader);
        if channel.count() == 0 {
            channel.idle_since = Some(now);
            self.idle.insert(channel.owner, now, key);
        } else {
            self.find_owner(key);
        }
    }

    /// Gives up the channels that had no reader for `linger`.
    pub(super) fn sweep(&mut self, linger: Duration, log: &mut Log, now: Instant) {
        while let Some(key) = self.idle.expired(linger, now) {
            self.give_up(key, log);
        }
    }

    fn give_up(&mut self, key: ChannelKey, log: &mut Log) {
        let channel = self.channels.remove(key);
        if let Some(since) = channel.idle_since {
            self.idle.remove(channel.owner, since, key);
        }
        self.quota.remove(channel.owner);
        if let ListenState::Refused(_) = channel.listening {
            self.refusals -= 1;
        }
        if let Some(history) = channel.listening.history() {
            log.close(history);
        }
        self.names.remove(&channel.name);
        self.demand.wish(channel.name, ListenRequest::Unlisten);
    }

    /// LISTEN has committed for the request of this generation. An answer to an
    /// older request does not count: an UNLISTEN came between.
    pub(super) fn committed(
        &mut self,
        name: &ChannelName,
        generation: Generation,
        log: &mut Log,
    ) -> Option<ChannelKey> {
        let (key, channel) = self.wished(name, generation)?;
        if channel.listening != ListenState::Asked {
            return None;
        }
        channel.listening = ListenState::Committed(log.open());
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
        channel.listening = ListenState::Refused(was.history());
        if !matches!(was, ListenState::Refused(_)) {
            self.refusals += 1;
        }
        Some(key)
    }

    /// The channel, if the answer is to its newest request.
    fn wished(
        &mut self,
        name: &ChannelName,
        generation: Generation,
    ) -> Option<(ChannelKey, &mut Channel)> {
        let key = *self.names.get(name)?;
        let channel = &mut self.channels[key];
        (channel.generation == generation).then_some((key, channel))
    }

    /// Whether there is a channel that PostgreSQL cannot listen to, which is rare.
    pub(super) fn has_refusals(&self) -> bool {
        self.refusals > 0
    }

    pub(super) fn listening(&self, key: ChannelKey) -> ListenState {
        self.channels[key].listening
    }

    /// Counts a notification on the channel of this name, if its LISTEN has
    /// committed.
    pub(super) fn notified(
        &mut self,
        name: &str,
    ) -> Option<(ChannelKey, HistoryKey, &ChannelName)> {
        let key = *self.names.get(name)?;
        let channel = &mut self.channels[key];
        let ListenState::Committed(history) = channel.listening else {
            return None;
        };
        channel.events += 1;
        Some((key, history, &channel.name))
    }

    /// Takes the wakers of the readers that wait on a channel.
    pub(super) fn wake(&mut self, key: ChannelKey, wakers: &mut Vec<Waker>) {
        let Some(channel) = self.channels.get(key) else {
            return;
        };
        let waiting = channel.woken.iter();
        wakers.extend(waiting.filter_map(|&reader| self.places[reader].waker.take()));
    }

    /// Takes the wakers of all waiting readers.
    pub(super) fn wake_all(&mut self, wakers: &mut Vec<Waker>) {
        let places = self.places.iter_mut();
        wakers.extend(places.filter_map(|(_, place)| place.waker.take()));
    }

    /// Ends the streams of `count` readers, and returns how many are left.
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
