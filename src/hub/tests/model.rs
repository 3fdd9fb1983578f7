//! The delivery guarantee against a simple model: random publishes, joins,
//! leaves, resumes, evictions, un-listens and lost sessions, in any order.
//!
//! PostgreSQL is modelled as a list: the commits on each channel, and whether
//! the session listened then. The session's notifications and answers wait in
//! one queue for the hub, as they would in a socket. Each reader checks the
//! contract by counting.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;

use super::*;
use crate::event::{Event, EventId, WireName};

const CHANNELS: [&str; 3] = ["a", "b", "c"];
const READERS: usize = 3;

#[derive(Debug, Clone)]
enum Op {
    /// A transaction commits.
    Publish(usize),
    /// The session takes the LISTEN requests and executes them.
    Obey,
    /// The hub applies this number of items.
    Pump(usize),
    Lose,
    Reconnect,
    /// A reader joins one more channel.
    Join(usize, usize),
    Part(usize, usize),
    /// A reader reads this number of deliveries.
    Read(usize, usize),
    /// The worker writes the new events to the idle readers.
    Write,
    /// A reader asks for its present cursor.
    Sign(usize),
    /// All readers are woken.
    Wake,
    /// A new limit for the history.
    Reload(usize),
    /// A reader's connection breaks.
    Break(usize),
    /// It reconnects with its last id.
    Resume(usize),
    /// Seconds pass.
    Wait(u64),
}

/// Operations that lose nothing.
fn calm_op() -> impl Strategy<Value = Op> {
    let (reader, channel) = (0..READERS, 0..CHANNELS.len());
    prop_oneof![
        8 => channel.clone().prop_map(Op::Publish),
        4 => Just(Op::Obey),
        6 => (1..20usize).prop_map(Op::Pump),
        3 => (reader.clone(), channel).prop_map(|(r, c)| Op::Join(r, c)),
        6 => (reader.clone(), 1..8usize).prop_map(|(r, n)| Op::Read(r, n)),
        3 => Just(Op::Write),
        1 => reader.clone().prop_map(Op::Sign),
        1 => Just(Op::Wake),
        1 => reader.clone().prop_map(Op::Break),
        3 => reader.prop_map(Op::Resume),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    let (reader, channel) = (0..READERS, 0..CHANNELS.len());
    prop_oneof![
        30 => calm_op(),
        1 => Just(Op::Lose),
        1 => (1..8usize).prop_map(Op::Reload),
        2 => Just(Op::Reconnect),
        1 => (reader, channel).prop_map(|(r, c)| Op::Part(r, c)),
        1 => prop_oneof![Just(1u64), Just(61), Just(601)].prop_map(Op::Wait),
    ]
}

enum Item {
    Notification(usize, u64),
    ListenState(usize, Generation),
    Interrupted,
    Live,
}

/// PostgreSQL and the session.
#[derive(Default)]
struct Server {
    committed: [u64; CHANNELS.len()],
    /// The part that the hub has applied.
    heard: [u64; CHANNELS.len()],
    connected: bool,
    wanted: BTreeMap<usize, Generation>,
    listening: BTreeSet<usize>,
    items: VecDeque<Item>,
}

impl Server {
    fn publish(&mut self, channel: usize) {
        if self.connected && self.listening.contains(&channel) {
            let count = self.committed[channel];
            self.items.push_back(Item::Notification(channel, count));
        }
        self.committed[channel] += 1;
    }

    fn obey(&mut self, demand: &Demand) {
        if !self.connected {
            return;
        }
        for (name, wish) in demand.changed().now_or_never().unwrap_or_default() {
            let channel = CHANNELS.iter().position(|c| *c == name.as_str()).unwrap();
            match wish {
                ListenRequest::Listen(generation, _) => {
                    self.wanted.insert(channel, generation);
                    self.listening.insert(channel);
                    self.items.push_back(Item::ListenState(channel, generation));
                }
                ListenRequest::Unlisten => {
                    self.wanted.remove(&channel);
                    self.listening.remove(&channel);
                }
            }
        }
    }

    fn lose(&mut self) {
        if std::mem::take(&mut self.connected) {
            self.listening.clear();
            self.items.push_back(Item::Interrupted);
        }
    }

    fn reconnect(&mut self) {
        if !std::mem::replace(&mut self.connected, true) {
            self.listening = self.wanted.keys().copied().collect();
            let again = self.wanted.iter().map(|(c, g)| Item::ListenState(*c, *g));
            self.items.extend(again);
            self.items.push_back(Item::Live);
        }
    }

    fn pump(&mut self, hub: &Hub, count: usize) {
        let items = self.items.drain(..count.min(self.items.len()));
        let heard = &mut self.heard;
        hub.ingest(|intake| {
            for item in items {
                match item {
                    Item::Notification(channel, count) => {
                        heard[channel] = count + 1;
                        intake.notification(notification(CHANNELS[channel], &count.to_string()));
                    }
                    Item::ListenState(channel, generation) => {
                        intake.listening(&names(&CHANNELS)[channel], generation);
                    }
                    Item::Interrupted => intake.interrupted(EPOCH_TIME),
                    Item::Live => intake.live(true),
                }
            }
        });
    }
}

/// A buffer that reports every other batch as too much.
#[derive(Debug, Default)]
struct Tray {
    events: Mutex<VecDeque<Arc<Event>>>,
    batches: AtomicUsize,
}

impl Tray {
    fn take(&self) -> Option<Arc<Event>> {
        self.events.lock().unwrap().pop_front()
    }
}

/// The worker's end of it.
#[derive(Debug)]
struct Way(Arc<Tray>);

impl EventSink for Way {
    fn try_write(&mut self, batch: &EventBatch) -> bool {
        let Self(tray) = self;
        tray.events.lock().unwrap().extend(batch.events().to_vec());
        tray.batches.fetch_add(1, Ordering::Relaxed) % 2 == 0
    }

    fn close(&mut self) {}
}

/// The events that a reader may still receive on a channel.
#[derive(Debug, Clone, Copy)]
struct Owed {
    /// The lowest permitted event.
    from: u64,
    /// Upper bound of the next event; `None` after a gap.
    to: Option<u64>,
}

#[derive(Default)]
struct Client {
    /// Events written by a worker; `None` for a reader without one.
    tray: Option<Arc<Tray>>,
    subscription: Option<Subscription>,
    channels: BTreeSet<usize>,
    owed: BTreeMap<usize, Owed>,
    /// State of the channels that were left, and the last id then.
    parted: BTreeMap<usize, (EventId, Owed)>,
    /// Joined again with that id, and not ready yet.
    returning: BTreeMap<usize, (EventId, Owed)>,
    /// The events that the hub had applied when a channel was requested that is
    /// not ready yet: the reader has received them by `ready`.
    asked: BTreeMap<usize, u64>,
    last: Option<EventId>,
    /// `owed` when that id was received.
    kept: BTreeMap<usize, Owed>,
    live: bool,
    gaps: usize,
    number: u8,
}

/// A join is refused for nothing else here.
fn check_limit(error: &JoinError) {
    let is_limit = matches!(error, JoinError::TooMany | JoinError::TooManyForClient(_));
    assert!(is_limit, "{error}");
}

impl Client {
    fn attached() -> Self {
        Self {
            tray: Some(Arc::default()),
            ..Self::default()
        }
    }

    fn join(&mut self, hub: &Hub, server: &Server, channel: usize) {
        if !self.channels.insert(channel) {
            return;
        }
        let Some(subscription) = &mut self.subscription else {
            return self.resume(hub, server);
        };
        let parted = self.parted.remove(&channel);
        let cursor = parted.map(|(id, _)| Cursor::At(id));
        if let Err(error) = subscription.join(&names(&[CHANNELS[channel]]), cursor) {
            check_limit(&error);
            self.channels.remove(&channel);
            self.parted.extend(parted.map(|before| (channel, before)));
            return;
        }
        self.asked.insert(channel, server.heard[channel]);
        if let Some((id, owed)) = parted {
            self.owed.insert(channel, owed);
            self.returning.insert(channel, (id, owed));
        }
    }

    fn unsubscribe(&mut self, channel: usize) {
        self.channels.remove(&channel);
        self.asked.remove(&channel);
        let owed = self.owed.remove(&channel);
        let is_returning = self.returning.remove(&channel).is_some();
        if let (Some(owed), Some(last)) = (owed, self.last)
            && !is_returning
            && self.returning.is_empty()
        {
            self.parted.insert(channel, (last, owed));
        }
        if let Some(subscription) = &mut self.subscription {
            subscription.unsubscribe(&names(&[CHANNELS[channel]]));
        }
    }

    /// A channel whose replay is not complete has a cursor of its own.
    fn break_off(&mut self) {
        self.subscription = None;
        // The last events that the worker wrote are lost on the way.
        self.tray = self.tray.as_ref().map(|_| Arc::default());
        self.asked.clear();
        for (channel, before) in std::mem::take(&mut self.returning) {
            self.owed.remove(&channel);
            self.parted.insert(channel, before);
        }
        // Events whose id it did not keep are delivered again.
        for (channel, owed) in &mut self.owed {
            match self.kept.get(channel) {
                Some(kept) => *owed = *kept,
                None => owed.from = 0,
            }
        }
    }

    /// During the replay of some channels the ids are older than the stream's:
    /// none is kept before their `ready`.
    fn saw(&mut self, id: EventId) {
        if !self.returning.is_empty() {
            return;
        }
        assert!(Some(id.sequence) >= self.last.map(|id| id.sequence), "back");
        self.last = Some(id);
        self.kept = self.owed.clone();
    }

    fn resume(&mut self, hub: &Hub, server: &Server) {
        if self.subscription.is_some() || self.channels.is_empty() {
            return;
        }
        let key = ClientKey::new(1, [self.number; 16]);
        let mut subscription = hub.subscribe(WireName::WebSocket, key).unwrap();
        if let Some(tray) = &self.tray {
            subscription.attach(Arc::new(DirectSlot::new(Way(tray.clone()))));
        }
        self.live = true;
        let (returning, others): (Vec<_>, Vec<_>) = std::mem::take(&mut self.channels)
            .into_iter()
            .partition(|channel| self.parted.contains_key(channel));
        if !others.is_empty() {
            let channels: Vec<_> = others.iter().map(|c| CHANNELS[*c]).collect();
            let cursor = self.last.map(Cursor::At);
            if let Err(error) = subscription.join(&names(&channels), cursor) {
                check_limit(&error);
                self.channels.extend(others.into_iter().chain(returning));
                return;
            }
        }
        let heard = others.iter().map(|c| (*c, server.heard[*c]));
        self.asked.extend(heard);
        self.channels.extend(others);
        self.subscription = Some(subscription);
        for channel in returning {
            self.join(hub, server, channel);
        }
    }

    /// Returns whether there was a delivery.
    fn read(&mut self, server: &Server) -> bool {
        if let Some(event) = self.tray.as_ref().and_then(|tray| tray.take()) {
            self.check(Delivery::Event(event), server);
            return true;
        }
        let Some(subscription) = &mut self.subscription else {
            return false;
        };
        match subscription.next().now_or_never() {
            Some(Some(Ok(delivery))) => self.check(delivery, server),
            Some(_) => self.break_off(),
            None => {
                subscription.arm();
                return false;
            }
        }
        true
    }

    fn sign(&mut self) {
        let cursor = self.subscription.as_mut().and_then(Subscription::cursor);
        if let Some(id) = cursor {
            self.saw(id);
        }
    }

    /// Events written by a worker reach the client before its next answer.
    fn empty_tray(&mut self, server: &Server) {
        while let Some(event) = self.tray.as_ref().and_then(|tray| tray.take()) {
            self.check(Delivery::Event(event), server);
        }
    }

    fn check(&mut self, delivery: Delivery, server: &Server) {
        match delivery {
            Delivery::Ready { channels, cursor } => {
                for name in channels {
                    let channel = CHANNELS.iter().position(|c| *c == name.as_str()).unwrap();
                    self.returning.remove(&channel);
                    // From now on it is owed; an earlier debt remains.
                    let owed = self.owed.entry(channel).or_insert(Owed {
                        from: 0,
                        to: Some(server.committed[channel]),
                    });
                    let heard = self
                        .asked
                        .remove(&channel)
                        .expect("ready, and not asked for");
                    let is_there = owed.to.is_none_or(|to| to >= heard);
                    assert!(is_there, "ready too early: {name:?}, {owed:?} of {heard}");
                }
                assert!(self.live, "ready while interrupted");
                self.saw(cursor);
            }
            Delivery::Event(event) => {
                let name = event.channel.as_str();
                let channel = CHANNELS.iter().position(|c| *c == name).unwrap();
                assert!(self.channels.contains(&channel), "of a channel it has not");
                let count: u64 = event.payload.parse().unwrap();
                // A cursor may bring events before the channel's first `ready`.
                let owed = self
                    .owed
                    .entry(channel)
                    .or_insert(Owed { from: 0, to: None });
                assert!(count >= owed.from, "twice: {name} {count}, {owed:?}");
                assert!(
                    owed.to.is_none_or(|to| count <= to),
                    "lost: {name} {count}, {owed:?}"
                );
                assert!(self.live, "an event while interrupted");
                *owed = Owed {
                    from: count + 1,
                    to: Some(count + 1),
                };
                self.saw(event.id);
            }
            Delivery::Gap { id, .. } => {
                self.gaps += 1;
                self.owed.values_mut().for_each(|owed| owed.to = None);
                self.saw(id);
            }
            Delivery::Interrupted { .. } => {
                assert!(std::mem::replace(&mut self.live, false), "told twice");
            }
            Delivery::Live { cursor } => {
                self.saw(cursor);
                assert!(!std::mem::replace(&mut self.live, true), "told twice");
            }
        }
    }

    /// Checks that everything was delivered.
    fn check_end(&self, committed: &[u64]) {
        assert!(self.live, "was not told that the source is live");
        for (channel, owed) in &self.owed {
            let complete = owed.to.is_none_or(|to| to >= committed[*channel]);
            let name = CHANNELS[*channel];
            assert!(
                complete,
                "lost in silence: {name}, {owed:?} of {committed:?}"
            );
        }
    }
}

async fn run(config: Config, calm: bool, ops: Vec<Op>) -> usize {
    let Fixture { hub, demand } = Fixture::new(config);
    let mut server = Server::default();
    let mut worker = hub.fanout_workers(1).pop().unwrap();
    let mut write = move || while worker.round().now_or_never().is_some() {};
    let mut clients = [Client::attached(), Client::attached(), Client::default()];
    for (number, client) in (1..).zip(&mut clients) {
        client.number = number;
    }
    hub.ingest(|intake| intake.live(false));
    server.connected = true;
    // If every channel is always listened to, every cursor is valid.
    let mut keeper = hub.subscribe(WireName::WebSocket, CLIENT).unwrap();
    if calm {
        keeper.join(&names(&CHANNELS), None).unwrap();
        server.obey(&demand);
        server.pump(&hub, usize::MAX);
    }
    for op in ops {
        match op {
            Op::Publish(channel) => server.publish(channel),
            Op::Obey => server.obey(&demand),
            Op::Pump(count) => server.pump(&hub, count),
            Op::Lose => server.lose(),
            Op::Reconnect => server.reconnect(),
            Op::Write => write(),
            Op::Wake => hub.wake_all(),
            Op::Reload(events) => {
                let mut other = config;
                other.history.events = events;
                hub.reload(other);
            }
            Op::Sign(client) => {
                clients[client].empty_tray(&server);
                clients[client].sign();
            }
            Op::Join(client, channel) => {
                clients[client].empty_tray(&server);
                clients[client].join(&hub, &server, channel);
            }
            Op::Part(client, channel) => {
                clients[client].empty_tray(&server);
                clients[client].unsubscribe(channel);
            }
            Op::Read(client, count) => {
                for _ in 0..count {
                    clients[client].read(&server);
                }
            }
            Op::Break(client) => clients[client].break_off(),
            Op::Resume(client) => clients[client].resume(&hub, &server),
            Op::Wait(seconds) => {
                tokio::time::advance(Duration::from_secs(seconds)).await;
                hub.sweep();
            }
        }
    }
    server.reconnect();
    for client in &mut clients {
        client.resume(&hub, &server);
    }
    // A channel joined late may need a second round.
    for _ in 0..2 {
        server.obey(&demand);
        server.pump(&hub, usize::MAX);
        write();
        for client in &mut clients {
            client.resume(&hub, &server);
            while client.read(&server) {}
        }
    }
    for client in clients.iter().filter(|c| c.subscription.is_some()) {
        client.check_end(&server.committed);
    }
    clients.iter().map(|client| client.gaps).sum()
}

fn on_a_paused_clock(config: Config, calm: bool, ops: Vec<Op>) -> usize {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(run(config, calm, ops))
}

proptest! {
    #![proptest_config(ProptestConfig {
        // More with PROPTEST_CASES.
        cases: ProptestConfig::default().cases.max(2000),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// In every case an event is delivered once and in order, or there is a gap in
    /// its place.
    #[test]
    fn there_is_no_third_case(
        ops in prop::collection::vec(op(), 0..200),
        events in 1..8usize,
    ) {
        on_a_paused_clock(small_history(events), false, ops);
    }

    /// The same where a channel has a share of few bytes, and a client few channels.
    #[test]
    fn nor_is_there_one_at_the_limits(
        ops in prop::collection::vec(op(), 0..200),
        bytes in 1..6000usize,
        (max_channels, max_channels_per_client) in (1..4usize, 1..4usize),
    ) {
        let mut config = Config {
            max_channels,
            max_channels_per_client,
            ..small_history(8)
        };
        config.history.bytes = bytes;
        on_a_paused_clock(config, false, ops);
    }

    /// Where nothing was lost, there is no gap: a gap costs a cache.
    #[test]
    fn a_gap_is_told_for_a_reason(ops in prop::collection::vec(calm_op(), 0..200)) {
        prop_assert_eq!(on_a_paused_clock(Config::default(), true, ops), 0);
    }
}
