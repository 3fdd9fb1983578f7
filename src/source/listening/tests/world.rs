//! A session that is driven step by step, and a model of the hub.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::poll_fn,
    time::Duration,
};

use fastrand::Rng;
use tokio::{select, time::timeout};
use tokio_postgres::{
    AsyncMessage, Connection, NoTls, SimpleQueryMessage, Socket, error::SqlState, tls::NoTlsStream,
    types::ToSql,
};

use super::{Kind, NAMES, PATIENCE, PRIVATE, kind, name, other};
use crate::{channel_demand::Demand, source::listening::*};

/// State of a requested channel in the hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Asked,
    Ready,
    Refused,
}

pub(super) struct World {
    pub(super) random: Rng,
    pub(super) url: String,
    pub(super) respells: bool,
    /// One in this number of requests may use a name that makes its batch fail.
    one_of: u8,
    pub(super) connection: Connection<Socket, NoTlsStream>,
    pub(super) listening: ListenSet,
    pub(super) notifier: Client,
    pub(super) demand: Demand,
    pub(super) wanted: Wanted,
    pub(super) asked: BTreeMap<String, (Generation, State)>,
    pub(super) generation: Generation,
    pub(super) heard: BTreeSet<String>,
    pub(super) notified: usize,
}

async fn session(url: &str) -> (Arc<Client>, Connection<Socket, NoTlsStream>) {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    (Arc::new(client), connection)
}

/// With batches so small that most names have to wait.
fn listening(client: Arc<Client>, respells: bool, wanted: &Wanted) -> ListenSet {
    let mut listening = ListenSet::begin(client, respells, name(PRIVATE), wanted);
    listening.sizes = Sizes {
        most: 3,
        comparisons: 12,
        few: 2,
    };
    listening
}

impl World {
    pub(super) async fn new(seed: u64, url: &str, respells: bool) -> Self {
        let (client, connection) = session(url).await;
        let wanted = Wanted::new();
        Self {
            random: Rng::with_seed(seed),
            url: url.to_owned(),
            respells,
            one_of: 2 + 2 * u8::try_from(seed % 6).unwrap(),
            connection,
            listening: listening(client, respells, &wanted),
            notifier: other(url).await,
            demand: Demand::default(),
            wanted,
            asked: BTreeMap::new(),
            generation: 0,
            heard: BTreeSet::new(),
            notified: 0,
        }
    }

    /// Like the hub: requests a channel without subscribers, or gives up one with
    /// subscribers.
    pub(super) fn wish(&mut self) {
        // Names that make a batch fail are at the end of the list, and rarely used.
        let good = NAMES.iter().filter(|(_, kind)| *kind == Kind::Good).count();
        let among = match self.respells && self.random.u8(..self.one_of) == 0 {
            true => NAMES.len(),
            false => good,
        };
        let (text, _) = NAMES[self.random.usize(..among)];
        match self.asked.contains_key(text) {
            true => self.unlisten(text),
            false => self.listen(text),
        }
    }

    pub(super) fn listen(&mut self, text: &str) {
        self.generation += 1;
        let asked = (self.generation, State::Asked);
        self.asked.insert(text.to_owned(), asked);
        let wish = ListenRequest::Listen(self.generation, self.random.u32(..4));
        self.demand.wish(name(text), wish);
    }

    pub(super) fn unlisten(&mut self, text: &str) {
        self.asked.remove(text);
        self.demand.wish(name(text), ListenRequest::Unlisten);
    }

    pub(super) async fn follow(&mut self) {
        let wishes = timeout(Duration::ZERO, self.demand.changed()).await;
        let wishes = wishes.unwrap_or_default();
        self.listening.follow(wishes, &mut self.wanted);
        self.take_in();
    }

    /// Waits until the statement in flight is answered, or another message arrives.
    pub(super) async fn advance(&mut self) {
        let advanced = async {
            select! {
                message = poll_fn(|cx| self.connection.poll_message(cx)) => Some(message),
                advanced = self.listening.advance(&mut self.wanted) => {
                    advanced.unwrap();
                    None
                }
            }
        };
        if let Some(message) = timeout(PATIENCE, advanced).await.expect("an answer") {
            self.hear(message.expect("the session lives").unwrap());
        }
        self.take_in();
    }

    pub(super) fn hear(&mut self, message: AsyncMessage) {
        match message {
            AsyncMessage::Notification(n) => {
                self.heard
                    .insert(format!("{} {}", n.channel(), n.payload()));
            }
            AsyncMessage::Notice(notice) if *notice.code() == SqlState::NAME_TOO_LONG => {
                self.listening.name_truncated();
            }
            _ => {}
        }
    }

    /// Like the hub: only the answer to the newest request counts.
    pub(super) fn take_in(&mut self) {
        while let Some(item) = self.listening.say() {
            let (answers, state) = match item {
                SourceItem::Listening(answers) => (answers, State::Ready),
                SourceItem::Refused(name, generation) => (vec![(name, generation)], State::Refused),
                other => panic!("{other:?}"),
            };
            for (name, generation) in answers {
                let is_good = kind(name.as_str()) == Kind::Good;
                assert_eq!(is_good, state == State::Ready, "{name:?} is {state:?}");
                if let Some(asked) = self.asked.get_mut(name.as_str())
                    && asked.0 == generation
                {
                    asked.1 = state;
                }
            }
        }
    }

    pub(super) fn ready(&self) -> Vec<String> {
        let is_ready = |(_, asked): &(_, &(Generation, State))| asked.1 == State::Ready;
        self.asked
            .iter()
            .filter(is_ready)
            .map(|(n, _)| n.clone())
            .collect()
    }

    /// A notification sent to the channel now arrives, whatever else is in flight.
    pub(super) async fn is_heard(&mut self, channel: &str) {
        self.notified += 1;
        let payload = self.notified.to_string();
        let sql = "SELECT pg_notify($1, $2)";
        let values: [&(dyn ToSql + Sync); 2] = [&channel, &payload];
        self.notifier.execute(sql, &values).await.unwrap();
        let expected = format!("{channel} {payload}");
        let arrives = async {
            while !self.heard.contains(&expected) {
                // Another LISTEN or UNLISTEN may run in between.
                self.listening.send_next(&self.wanted);
                self.advance().await;
            }
        };
        let is_late = timeout(PATIENCE / 4, arrives).await.is_err();
        assert!(!is_late, "{channel} is ready, and not listened to");
    }

    /// Applies all requests and waits until no statement is in flight.
    pub(super) async fn settle(&mut self) {
        loop {
            self.follow().await;
            self.listening.send_next(&self.wanted);
            self.take_in();
            if !self.listening.is_busy() {
                break;
            }
            self.advance().await;
        }
        for (channel, (generation, state)) in &self.asked {
            let answered = self.wanted.get(&name(channel)) == Some(generation);
            let expected = match kind(channel) {
                Kind::Good => (State::Ready, true),
                Kind::Becomes(_) | Kind::Impossible => (State::Refused, false),
            };
            assert_eq!((*state, answered), expected, "{channel}");
        }
        self.is_what_the_server_says().await;
        for channel in self.ready() {
            self.is_heard(&channel).await;
        }
    }

    pub(super) async fn is_what_the_server_says(&mut self) {
        let client = Arc::clone(&self.listening.client);
        let asking = client.simple_query("SELECT pg_listening_channels()");
        tokio::pin!(asking);
        let answer = loop {
            select! {
                answer = &mut asking => break answer.unwrap(),
                message = poll_fn(|cx| self.connection.poll_message(cx)) => {
                    self.hear(message.expect("the session lives").unwrap());
                }
            }
        };
        let said: BTreeSet<_> = answer
            .iter()
            .filter_map(|message| match message {
                SimpleQueryMessage::Row(row) => row.get(0),
                _ => None,
            })
            .collect();
        let wanted: BTreeSet<_> = self.wanted.keys().map(ChannelName::as_str).collect();
        let mut wanted = wanted;
        wanted.insert(PRIVATE);
        let missing: Vec<_> = wanted.difference(&said).collect();
        assert!(
            missing.is_empty(),
            "wanted and not listened to: {missing:?}"
        );
        // The changed form of a refused name cannot be unlistened under the refused
        // name.
        let left: BTreeSet<&str> = NAMES
            .iter()
            .filter_map(|(_, kind)| kind.becomes())
            .collect();
        let more: Vec<_> = said
            .difference(&wanted)
            .filter(|n| !left.contains(*n))
            .collect();
        assert!(more.is_empty(), "listened to and not wanted: {more:?}");
    }

    /// Loses the session, at whatever point it has reached.
    pub(super) async fn lose(&mut self) {
        let (client, connection) = session(&self.url).await;
        self.connection = connection;
        self.listening = listening(client, self.respells, &self.wanted);
        for (_, state) in self.asked.values_mut() {
            if *state == State::Ready {
                *state = State::Asked;
            }
        }
        // New requests are not applied before all wanted channels are committed.
        while self.listening.is_busy() {
            self.advance().await;
            self.listening.send_next(&self.wanted);
        }
        self.take_in();
    }
}
