//! One listening session's life: LISTEN, probe, forward, and its end.
//!
//! Nothing else speaks on it, and no transaction stays open: that would hold
//! back every notification, and the cluster's queue with them.

use std::{pin::Pin, sync::Arc};

use futures_util::FutureExt;
use tokio::{
    select,
    sync::watch,
    time::{Instant, Sleep, sleep_until},
};
use tokio_postgres::{AsyncMessage, Client, error::SqlState};
use tracing::info;

use super::{
    Config, SourceItem,
    beat::Beat,
    between::{Inspection, Second},
    connect::{Connected, SessionError, message},
    conninfo::Connection,
    heartbeat::{Due, Heartbeat},
    listening::{Listening, Wanted},
    row::Row,
};
use crate::{
    backoff::Backoff,
    demand::Demand,
    event::{ChannelName, Notification, Payload},
    publish::{PublishError, Publisher},
};

/// How far a session has come.
enum Stage {
    /// It repeats the LISTENs of the one before.
    SettingUp,
    /// The second session notifies it.
    Probing(Pin<Box<dyn Future<Output = Result<(), PublishError>> + Send>>),
    /// The notification is committed, and has not arrived yet.
    Probed,
    Live {
        since: Instant,
    },
}

/// See the module.
pub(super) struct Session {
    client: Arc<Client>,
    connection: Connection,
    listening: Listening,
    stage: Stage,
    prober: Publisher,
    inspections: watch::Receiver<Inspection>,
    heartbeat: Heartbeat,
    timer: Pin<Box<Sleep>>,
    /// Where the session is notified by itself, and probed.
    private: ChannelName,
    beat: Beat,
    /// A beat of its own has arrived after it became live.
    beats: bool,
    row: Row,
}

impl Session {
    /// Begins to repeat the LISTENs of `wanted`.
    pub(super) fn begin(
        connected: Connected,
        config: Config,
        second: &Second,
        wanted: &Wanted,
    ) -> Self {
        second.listens_on(connected.host);
        let now = Instant::now();
        let heartbeat = Heartbeat::new(config.heartbeat_interval, config.heartbeat_timeout, now);
        let private = private_channel();
        let client = Arc::new(connected.client);
        let names = wanted.keys().cloned().chain([private.clone()]);
        let mut inspections = second.inspections.clone();
        inspections.mark_unchanged();
        Self {
            listening: Listening::begin(Arc::clone(&client), names.collect()),
            client,
            connection: connected.connection,
            stage: Stage::SettingUp,
            prober: second.prober.clone(),
            inspections,
            timer: Box::pin(sleep_until(heartbeat.wakes_at())),
            heartbeat,
            private,
            beat: Beat::default(),
            beats: false,
            row: Row::default(),
        }
    }

    /// Whether `Live` was said.
    pub(super) fn is_live(&self) -> bool {
        matches!(self.stage, Stage::Live { .. })
    }

    /// Whether its end is news. One that was live for a moment only may be
    /// followed by others like it, and each costs the readers a gap: then the
    /// pauses in between have to grow.
    pub(super) fn has_lasted(&self) -> bool {
        match self.stage {
            Stage::Live { since } => self.beats || since.elapsed() >= Backoff::MAX,
            _ => false,
        }
    }

    /// What the session says next. Cancel-safe.
    pub(super) async fn next(
        &mut self,
        demand: &Demand,
        wanted: &mut Wanted,
    ) -> Result<SourceItem, SessionError> {
        loop {
            if let Some(item) = self.listening.say() {
                return Ok(item);
            }
            let item = match self.following() {
                Some(message) => self.hear(message?),
                None => self.look_at_all(demand, wanted).await?,
            };
            if let Some(item) = item {
                return Ok(item);
            }
        }
    }

    /// The next of several messages that came together.
    fn following(&mut self) -> Option<Result<AsyncMessage, SessionError>> {
        let next = || message(&mut self.connection).now_or_never();
        let following = self.row.goes_on().then(next).flatten();
        if following.is_none() {
            self.row.end();
        }
        following
    }

    /// Whatever comes first. Cancel-safe.
    async fn look_at_all(
        &mut self,
        demand: &Demand,
        wanted: &mut Wanted,
    ) -> Result<Option<SourceItem>, SessionError> {
        let idle = !self.listening.is_busy();
        if idle && matches!(self.stage, Stage::SettingUp) {
            self.probe();
        }
        let item = select! {
            message = message(&mut self.connection) => self.hear(message?),
            committed = self.listening.advance(wanted) => {
                committed?;
                None
            }
            wishes = demand.changed(), if idle => {
                self.listening.follow(wishes, wanted);
                None
            }
            sent = probe_sent(&mut self.stage) => {
                sent?;
                self.probed();
                None
            }
            answer = self.beat.answered() => {
                answer?;
                None
            }
            Ok(()) = self.inspections.changed() => Some(self.inspected()?),
            () = self.timer.as_mut() => self.look_at_the_clock()?,
        };
        Ok(item)
    }

    /// A notification of another session must arrive here: one of this
    /// session would even through a pooler that keeps nothing for it.
    fn probe(&mut self) {
        let (prober, private) = (self.prober.clone(), self.private.clone());
        self.stage = Stage::Probing(Box::pin(async move {
            prober.publish(private, Payload::default()).await
        }));
    }

    fn probed(&mut self) {
        self.stage = Stage::Probed;
        self.heartbeat.probed(Instant::now());
        self.timer.as_mut().reset(self.heartbeat.wakes_at());
    }

    fn inspected(&mut self) -> Result<SourceItem, SessionError> {
        let seen = *self.inspections.borrow_and_update();
        if seen.shutting_down {
            return Err(SessionError::ShuttingDown);
        }
        Ok(SourceItem::QueueUsage(seen.queue_usage))
    }

    fn look_at_the_clock(&mut self) -> Result<Option<SourceItem>, SessionError> {
        // The process may have slept: what waits in the socket counts first.
        if let Some(message) = message(&mut self.connection).now_or_never() {
            return Ok(self.hear(message?));
        }
        match (self.heartbeat.due(Instant::now()), &self.stage) {
            (Due::Nothing, _) => {}
            (Due::Beat, _) => self.beat.send(&self.client, &self.private),
            (Due::Overdue, Stage::Probed) => return Err(SessionError::Deaf),
            (Due::Overdue, _) => return Err(SessionError::Overdue),
        }
        self.timer.as_mut().reset(self.heartbeat.wakes_at());
        Ok(None)
    }

    /// Notifications before `Live` belong to the gap that comes before it.
    fn hear(&mut self, message: AsyncMessage) -> Option<SourceItem> {
        self.row.heard();
        self.heartbeat.progress(Instant::now());
        match message {
            AsyncMessage::Notification(n) if n.channel() == self.private.as_str() => self.proven(),
            AsyncMessage::Notification(n) if self.is_live() => {
                Some(SourceItem::Notification(Notification {
                    channel: n.channel().into(),
                    payload: n.payload().into(),
                }))
            }
            AsyncMessage::Notice(notice) => {
                let (code, message) = (notice.code().code(), notice.message());
                info!(code, message, "the server says");
                if *notice.code() == SqlState::NAME_TOO_LONG {
                    self.listening.was_cut();
                }
                None
            }
            _ => None,
        }
    }

    /// A beat or the probe has arrived; the probe perhaps before the answer to
    /// its statement.
    fn proven(&mut self) -> Option<SourceItem> {
        self.heartbeat.proven();
        self.timer.as_mut().reset(self.heartbeat.wakes_at());
        if self.is_live() {
            self.beats = true;
            return None;
        }
        self.stage = Stage::Live {
            since: Instant::now(),
        };
        Some(SourceItem::Live { lost: false })
    }
}

/// Waits for ever when no probe is on its way. Cancel-safe.
async fn probe_sent(stage: &mut Stage) -> Result<(), PublishError> {
    match stage {
        Stage::Probing(sent) => sent.await,
        _ => std::future::pending().await,
    }
}

/// One of this process alone: gateways on the same database do not hear each
/// other's beats. Within 63 bytes, and without a quote.
fn private_channel() -> ChannelName {
    let prefix = ChannelName::RESERVED_PREFIX;
    let name = format!("{prefix}heartbeat:{:016x}", fastrand::u64(..));
    ChannelName::new(&name).expect("a short text without NUL is a channel name")
}
