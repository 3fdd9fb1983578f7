//! One listening session's life: set up, LISTEN, forward, and its end.
//!
//! The session and the set of names it listens to have one owner, and one
//! statement is in flight at a time; what is wished meanwhile waits, and goes
//! out together. No transaction stays open: it would hold back every
//! notification, and the cluster's queue with them.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    future::{Future, poll_fn},
    pin::Pin,
    sync::Arc,
};

use futures_util::FutureExt;
use tokio::{
    select,
    time::{Instant, Sleep, sleep_until},
};
use tokio_postgres::{AsyncMessage, Client, Error, SimpleQueryMessage};
use tracing::{debug, info};

use super::{
    Config, SourceItem,
    conninfo::{ConnInfo, Connection, TargetSessionAttrs},
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

/// What makes a dead gateway's backend die, and keeps a silent one alive. Sent
/// as a query and not at start-up, so that a server which does not know one of
/// them does not mind.
const SETTINGS: &str = "SELECT set_config(name, value, false) FROM (VALUES \
    ('idle_session_timeout', '0'), \
    ('tcp_keepalives_idle', '15'), \
    ('tcp_keepalives_interval', '5'), \
    ('tcp_keepalives_count', '3'), \
    ('tcp_user_timeout', '30000')) AS wanted (name, value) \
    JOIN pg_catalog.pg_settings USING (name)";

const STATE: &str = "SELECT pg_catalog.pg_is_in_recovery(), \
    pg_catalog.current_setting('transaction_read_only')";

/// The channels somebody reads, and the newest wish for each.
pub(super) type Wanted = HashMap<ChannelName, Generation>;

/// Why there is no session, or no longer one.
#[derive(Debug, thiserror::Error)]
pub(super) enum SessionError {
    #[error(transparent)]
    ConnInfo(#[from] super::conninfo::ConnInfoError),
    #[error(transparent)]
    Connect(#[from] super::conninfo::ConnectError),
    #[error("{}", describe(.0))]
    Postgres(#[from] Error),
    #[error("{0} is a standby, which cannot LISTEN (25006)")]
    Standby(String),
    #[error("{0} is {1}, which target_session_attrs does not want")]
    Unwanted(String, &'static str),
    #[error("the server closed the connection")]
    Closed,
    #[error("the session went silent: a heartbeat did not come back in time")]
    Overdue,
    #[error("the connection string names no host")]
    NoHost,
}

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

/// Class 22, data exception: the text cannot be held in the server's encoding
/// (<https://www.postgresql.org/docs/current/errcodes-appendix.html>).
pub(super) fn is_about_the_name(error: &Error) -> bool {
    error
        .code()
        .is_some_and(|code| code.code().starts_with("22"))
}

/// The first host that will do; of the others, the last one's error.
pub(super) async fn connect(conninfo: &ConnInfo) -> Result<(Client, Connection), SessionError> {
    let mut last = SessionError::NoHost;
    for target in conninfo.targets()? {
        let host = target.to_string();
        match target.connect().await {
            Ok((client, mut connection)) => {
                let wants = conninfo.target_session_attrs();
                match drive(&mut connection, set_up(&client, wants, &host)).await {
                    Ok(()) => return Ok((client, connection)),
                    Err(error) => last = error,
                }
            }
            Err(error) if error.ends_search() => return Err(error.into()),
            Err(error) => last = error.into(),
        }
    }
    Err(last)
}

async fn set_up(
    client: &Client,
    wants: TargetSessionAttrs,
    host: &str,
) -> Result<(), SessionError> {
    client.simple_query(SETTINGS).await?;
    let answer = client.simple_query(STATE).await?;
    let row = answer.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some((row.get(0) == Some("t"), row.get(1) == Some("on"))),
        _ => None,
    });
    match (row, wants) {
        (Some((true, _)), _) => Err(SessionError::Standby(host.into())),
        (Some((_, true)), TargetSessionAttrs::ReadWrite) => {
            Err(SessionError::Unwanted(host.into(), "read-only"))
        }
        (Some((_, false)), TargetSessionAttrs::ReadOnly) => {
            Err(SessionError::Unwanted(host.into(), "read-write"))
        }
        (_, TargetSessionAttrs::Standby) => Err(SessionError::Unwanted(host.into(), "a primary")),
        _ => Ok(()),
    }
}

/// A query makes progress only while its connection is polled.
async fn drive<T>(
    connection: &mut Connection,
    work: impl Future<Output = Result<T, SessionError>>,
) -> Result<T, SessionError> {
    tokio::pin!(work);
    loop {
        select! {
            result = &mut work => return result,
            message = message(connection) => drop(message?),
        }
    }
}

/// The next message that is not an answer. Cancel-safe.
pub(super) async fn message(connection: &mut Connection) -> Result<AsyncMessage, SessionError> {
    match poll_fn(|cx| connection.poll_message(cx)).await {
        Some(Ok(message)) => Ok(message),
        Some(Err(error)) => Err(error.into()),
        None => Err(SessionError::Closed),
    }
}

/// What the server said, which `Display` leaves out, and else the whole chain
/// of causes.
pub(super) fn describe(error: &Error) -> String {
    if let Some(db) = error.as_db_error() {
        return format!("{} ({})", db.message(), db.code().code());
    }
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
