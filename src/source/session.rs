//! One listening session's life: set up, LISTEN, forward, and its end.
//!
//! The session and the set of names it listens to have one owner, and one
//! statement is in flight at a time; what is wished meanwhile waits, and goes
//! out together. No transaction stays open: it would hold back every
//! notification, and the cluster's queue with them.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    pin::Pin,
    sync::Arc,
};

use futures_util::FutureExt;
use tokio::{
    select,
    time::{Instant, Sleep, sleep_until},
};
use tokio_postgres::{AsyncMessage, Client, Error};
use tracing::{debug, info};

use super::{
    Config, SourceItem,
    connect::{SessionError, connect, describe, is_about_the_name, message},
    conninfo::{ConnInfo, Connection},
    heartbeat::{Due, Heartbeat},
    listen,
};
use crate::{
    demand::{Demand, Generation, Wish},
    event::{ChannelName, Notification},
};

/// Names in one round trip: 10,000 channels take ten, and the text of one
/// stays under 140 KB.
const BATCH: usize = 1000;

/// The channels somebody reads, and the newest wish for each.
pub(super) type Wanted = HashMap<ChannelName, Generation>;

/// LISTENs and UNLISTENs of one round trip.
#[derive(Debug, Default)]
struct Batch {
    listen: Vec<ChannelName>,
    unlisten: Vec<ChannelName>,
}

type InFlight = Pin<Box<dyn Future<Output = (Batch, Result<(), Error>)> + Send>>;

/// See the module.
pub(super) struct Session {
    client: Arc<Client>,
    connection: Connection,
    listening: HashSet<ChannelName>,
    todo: VecDeque<Batch>,
    in_flight: Option<InFlight>,
    heartbeat: Heartbeat,
    /// Where the session notifies itself.
    private: ChannelName,
    timer: Pin<Box<Sleep>>,
    /// To be said, in this order, before anything else is heard.
    said: VecDeque<SourceItem>,
    live: bool,
}

impl Session {
    /// Connects to the first host that can be listened to. Its first items
    /// repeat the LISTENs of `wanted`, and end with `Live`.
    pub(super) async fn open(
        conninfo: &ConnInfo,
        config: Config,
        wanted: &Wanted,
    ) -> Result<Self, SessionError> {
        let (client, connection) = connect(conninfo).await?;
        let now = Instant::now();
        let heartbeat = Heartbeat::new(config.heartbeat_interval, config.heartbeat_timeout, now);
        let private = private_channel();
        let mut session = Self {
            client: Arc::new(client),
            connection,
            listening: HashSet::new(),
            todo: VecDeque::new(),
            in_flight: None,
            timer: Box::pin(sleep_until(heartbeat.wakes_at())),
            heartbeat,
            private: private.clone(),
            said: VecDeque::new(),
            live: false,
        };
        let listen = wanted.keys().cloned().chain([private]);
        session.plan(listen.collect(), Vec::new());
        session.proceed(wanted);
        Ok(session)
    }

    /// Whether `Live` was said.
    pub(super) fn is_live(&self) -> bool {
        self.live
    }

    /// What the session says next. Cancel-safe.
    pub(super) async fn next(
        &mut self,
        demand: &Demand,
        wanted: &mut Wanted,
    ) -> Result<SourceItem, SessionError> {
        loop {
            if let Some(item) = self.said.pop_front() {
                return Ok(item);
            }
            let idle = self.in_flight.is_none();
            select! {
                message = message(&mut self.connection) => {
                    if let Some(item) = self.hear(message?) {
                        return Ok(item);
                    }
                }
                (batch, result) = answer(&mut self.in_flight) => {
                    self.in_flight = None;
                    self.done(batch, result, wanted)?;
                    self.proceed(wanted);
                }
                wishes = demand.changed(), if idle => {
                    self.follow(wishes, wanted);
                    self.proceed(wanted);
                }
                () = self.timer.as_mut() => {
                    if let Some(item) = self.look_at_the_clock()? {
                        return Ok(item);
                    }
                }
            }
        }
    }

    fn look_at_the_clock(&mut self) -> Result<Option<SourceItem>, SessionError> {
        // The process may have slept: what waits in the socket counts first.
        if let Some(message) = message(&mut self.connection).now_or_never() {
            return Ok(self.hear(message?));
        }
        match self.heartbeat.due(Instant::now()) {
            Due::Nothing => {}
            Due::Beat => self.beat(),
            Due::Overdue => return Err(SessionError::Overdue),
        }
        self.timer.as_mut().reset(self.heartbeat.wakes_at());
        Ok(None)
    }

    /// The statement's own answer proves nothing; a failure is seen in the
    /// notification that does not come.
    fn beat(&self) {
        let client = Arc::clone(&self.client);
        let private = self.private.clone();
        tokio::spawn(async move {
            let sql = format!("SELECT pg_catalog.pg_notify('{}', '')", private.as_str());
            if let Err(error) = client.batch_execute(&sql).await {
                info!(reason = %describe(&error), "a heartbeat could not be sent");
            }
        });
    }

    /// Notifications before `Live` belong to the gap that comes before it.
    fn hear(&mut self, message: AsyncMessage) -> Option<SourceItem> {
        self.heartbeat.progress(Instant::now());
        match message {
            AsyncMessage::Notification(n) if n.channel() == self.private.as_str() => {
                self.heartbeat.proven();
                self.timer.as_mut().reset(self.heartbeat.wakes_at());
                None
            }
            AsyncMessage::Notification(n) if self.live => {
                Some(SourceItem::Notification(Notification {
                    channel: n.channel().into(),
                    payload: n.payload().into(),
                }))
            }
            AsyncMessage::Notice(notice) => {
                info!(
                    code = notice.code().code(),
                    message = notice.message(),
                    "notice"
                );
                None
            }
            _ => None,
        }
    }

    fn follow(&mut self, wishes: HashMap<ChannelName, Wish>, wanted: &mut Wanted) {
        let (mut listen, mut unlisten, mut have) = (Vec::new(), Vec::new(), Vec::new());
        for (name, wish) in wishes {
            match wish {
                Wish::Listen(generation) => {
                    wanted.insert(name.clone(), generation);
                    if self.listening.contains(&name) {
                        have.push((name, generation));
                    } else {
                        listen.push(name);
                    }
                }
                Wish::Unlisten => {
                    wanted.remove(&name);
                    if self.listening.contains(&name) {
                        unlisten.push(name);
                    }
                }
            }
        }
        if !have.is_empty() {
            self.said.push_back(SourceItem::Listening(have));
        }
        self.plan(listen, unlisten);
    }

    fn plan(&mut self, mut listen: Vec<ChannelName>, mut unlisten: Vec<ChannelName>) {
        while !listen.is_empty() || !unlisten.is_empty() {
            self.todo.push_back(Batch {
                listen: listen.split_off(listen.len().saturating_sub(BATCH)),
                unlisten: unlisten.split_off(unlisten.len().saturating_sub(BATCH)),
            });
        }
    }

    /// Sends the next batch; when the first ones are done, the session is
    /// live.
    fn proceed(&mut self, wanted: &Wanted) {
        if let Some(batch) = self.todo.pop_front() {
            self.in_flight = Some(Box::pin(run(Arc::clone(&self.client), batch)));
        } else if !self.live {
            self.live = true;
            self.heartbeat.proven();
            self.timer.as_mut().reset(self.heartbeat.wakes_at());
            self.said.push_back(SourceItem::Live { lost: false });
            let listening = self.listening.iter();
            self.say_listening(listening.cloned().collect(), wanted);
        }
    }

    fn done(
        &mut self,
        batch: Batch,
        result: Result<(), Error>,
        wanted: &mut Wanted,
    ) -> Result<(), SessionError> {
        match result {
            Ok(()) => {
                debug!(
                    listen = batch.listen.len(),
                    unlisten = batch.unlisten.len(),
                    "committed"
                );
                for name in &batch.unlisten {
                    self.listening.remove(name);
                }
                self.listening.extend(batch.listen.iter().cloned());
                if self.live {
                    self.say_listening(batch.listen, wanted);
                }
                Ok(())
            }
            Err(error) if is_about_the_name(&error) => {
                self.narrow_down(batch, wanted);
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    fn say_listening(&mut self, names: Vec<ChannelName>, wanted: &Wanted) {
        let answers = names.into_iter().filter_map(|name| {
            let generation = *wanted.get(&name)?;
            Some((name, generation))
        });
        self.said
            .push_back(SourceItem::Listening(answers.collect()));
    }

    /// One name that the database's encoding cannot hold fails the whole
    /// batch: halving finds it in a few round trips, and the others go on.
    fn narrow_down(&mut self, mut batch: Batch, wanted: &mut Wanted) {
        let half = batch.listen.split_off(batch.listen.len().div_ceil(2));
        if !half.is_empty() {
            self.todo.push_front(Batch {
                listen: half,
                unlisten: Vec::new(),
            });
        } else if let Some(name) = batch.listen.pop()
            && let Some(generation) = wanted.remove(&name)
        {
            self.said.push_back(SourceItem::Refused(name, generation));
        }
        if !batch.listen.is_empty() || !batch.unlisten.is_empty() {
            self.todo.push_front(batch);
        }
    }
}

/// Waits for ever when nothing is in flight.
async fn answer(in_flight: &mut Option<InFlight>) -> (Batch, Result<(), Error>) {
    match in_flight {
        Some(statement) => statement.await,
        None => std::future::pending().await,
    }
}

/// One of this process alone: gateways on the same database do not hear each
/// other's beats. Within 63 bytes, and without a quote.
fn private_channel() -> ChannelName {
    let prefix = ChannelName::RESERVED_PREFIX;
    let name = format!("{prefix}heartbeat:{:016x}", fastrand::u64(..));
    ChannelName::new(&name).expect("a short text without NUL is a channel name")
}

async fn run(client: Arc<Client>, batch: Batch) -> (Batch, Result<(), Error>) {
    let sql = listen::statements(batch.listen.iter(), batch.unlisten.iter());
    let result = client.batch_execute(&sql).await;
    (batch, result)
}
