//! The life of one listening session: LISTEN, probe, forward notifications, end.
//!
//! Beside its set-up, LISTEN, UNLISTEN, the check of respelt names and heartbeats, the
//! session runs no statements, and no transaction stays open: that would hold back every
//! notification, and fill the cluster's queue.

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
    connect::{Connected, SessionError, message},
    conninfo::Connection,
    drain_budget::DrainBudget,
    fence::Fence,
    heartbeat_query::HeartbeatQuery,
    heartbeat_timer::{Due, HeartbeatTimer},
    listening::{ListenSet, Wanted},
    private::{self, Word},
    queue_usage::health,
    session_link::{Inspection, ListenerStatus, Second},
};
use crate::{
    backoff::Backoff,
    channel_demand::Demand,
    event::{ChannelName, Notification},
    publish::{PublishError, Publisher},
};

/// Stage of a session.
enum Stage {
    /// Repeats the LISTENs of the previous session.
    SettingUp,
    /// The auxiliary session sends the probe.
    Probing(Pin<Box<dyn Future<Output = Result<(), PublishError>> + Send>>),
    /// The probe is committed, and has not arrived yet.
    Probed,
    Live {
        since: Instant,
    },
}

/// One listening session.
pub(super) struct Session {
    client: Arc<Client>,
    connection: Connection,
    listening: ListenSet,
    stage: Stage,
    prober: Publisher,
    inspections: watch::Receiver<Inspection>,
    /// Status of this session, for the auxiliary session.
    whereabouts: watch::Sender<ListenerStatus>,
    heartbeat: HeartbeatTimer,
    timer: Pin<Box<Sleep>>,
    /// The private channel for heartbeats, probes and proofs.
    private: ChannelName,
    beat: HeartbeatQuery,
    fence: Fence,
    /// Whether a heartbeat has arrived since it became live.
    beats: bool,
    row: DrainBudget,
}

impl Session {
    /// Starts to repeat the LISTENs of `wanted`.
    pub(super) fn begin(
        connected: Connected,
        config: Config,
        second: &Second,
        wanted: &Wanted,
    ) -> Self {
        let respells = connected.respells();
        second.listens_on(connected.host);
        let now = Instant::now();
        let heartbeat =
            HeartbeatTimer::new(config.heartbeat_interval, config.heartbeat_timeout, now);
        let private = private::channel();
        let client = Arc::new(connected.client);
        let mut inspections = second.inspections.clone();
        inspections.mark_unchanged();
        Self {
            listening: ListenSet::begin(Arc::clone(&client), respells, private.clone(), wanted),
            client,
            connection: connected.connection,
            stage: Stage::SettingUp,
            prober: second.prober.clone(),
            inspections,
            whereabouts: second.listening.clone(),
            timer: Box::pin(sleep_until(heartbeat.wakes_at())),
            heartbeat,
            private,
            beat: HeartbeatQuery::default(),
            fence: Fence::default(),
            beats: false,
            row: DrainBudget::default(),
        }
    }

    /// Whether `Live` was reported.
    pub(super) fn is_live(&self) -> bool {
        matches!(self.stage, Stage::Live { .. })
    }

    /// Whether it was live long enough to reset the backoff. A session that was live
    /// only briefly may be followed by others like it, and each costs the readers a
    /// gap: then the pauses in between have to grow.
    pub(super) fn has_lasted(&self) -> bool {
        match self.stage {
            Stage::Live { since } => self.beats || since.elapsed() >= Backoff::MAX,
            _ => false,
        }
    }

    /// The next item of the session. Cancel-safe.
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
                Some(message) => self.hear(message?)?,
                None => self.look_at_all(demand, wanted).await?,
            };
            if let Some(item) = item {
                return Ok(item);
            }
        }
    }

    /// The next of several messages that arrived together.
    fn following(&mut self) -> Option<Result<AsyncMessage, SessionError>> {
        let next = || message(&mut self.connection).now_or_never();
        let following = self.row.goes_on().then(next).flatten();
        if following.is_none() {
            self.row.end();
        }
        following
    }

    /// Polls all work and handles whatever is ready first. Cancel-safe.
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
            message = message(&mut self.connection) => self.hear(message?)?,
            committed = self.listening.advance(wanted) => {
                committed?;
                self.send_next(demand, wanted);
                None
            }
            wishes = demand.changed(), if idle => {
                self.listening.follow(wishes, wanted);
                self.listening.send_next(wanted);
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

    /// Sends the next batch with all requests so far. A session that is not proven yet
    /// repeats the LISTENs of the one before, without waiting for new requests.
    fn send_next(&mut self, demand: &Demand, wanted: &mut Wanted) {
        if !matches!(self.stage, Stage::SettingUp)
            && let Some(wishes) = demand.changed().now_or_never()
        {
            self.listening.follow(wishes, wanted);
        }
        self.listening.send_next(wanted);
    }

    /// Requests a notification from another session: one from this session would arrive
    /// even through a pooler that discards its LISTENs.
    fn probe(&mut self) {
        let (prober, private) = (self.prober.clone(), self.private.clone());
        self.stage = Stage::Probing(Box::pin(async move {
            prober.publish(private, Word::Probe.payload()).await
        }));
    }

    fn probed(&mut self) {
        self.stage = Stage::Probed;
        self.heartbeat.probed(Instant::now());
        self.timer.as_mut().reset(self.heartbeat.wakes_at());
    }

    fn inspected(&mut self) -> Result<SourceItem, SessionError> {
        let seen = self.inspections.borrow_and_update().clone();
        if seen.shutting_down {
            return Err(SessionError::ShuttingDown);
        }
        if let Some(proof) = seen.proof
            && proof.to == self.private
            && self.fence.committed(proof.number, self.beat.next())
        {
            self.beat.send(&self.client, &self.private);
            self.heartbeat.fenced(Instant::now());
            self.timer.as_mut().reset(self.heartbeat.wakes_at());
        }
        Ok(SourceItem::Health(health(seen.queue_usage)))
    }

    fn look_at_the_clock(&mut self) -> Result<Option<SourceItem>, SessionError> {
        // The process may have been suspended: messages in the socket count first.
        if let Some(message) = message(&mut self.connection).now_or_never() {
            return self.hear(message?);
        }
        match (self.heartbeat.due(Instant::now()), &self.stage) {
            (Due::Nothing, _) => {}
            (Due::HeartbeatQuery, _) => self.beat.send(&self.client, &self.private),
            (Due::Overdue, Stage::Probed) => return Err(SessionError::NothingDelivered),
            (Due::Overdue, _) => return Err(SessionError::Overdue),
        }
        self.timer.as_mut().reset(self.heartbeat.wakes_at());
        Ok(None)
    }

    /// Handles one message. Notifications before `Live` belong to the preceding gap.
    fn hear(&mut self, message: AsyncMessage) -> Result<Option<SourceItem>, SessionError> {
        self.row.heard();
        self.heartbeat.progress(Instant::now());
        let item = match message {
            AsyncMessage::Notification(n) if n.channel() == self.private.as_str() => {
                return self.hear_private(Word::read(n.payload()));
            }
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
                    self.listening.name_truncated();
                }
                None
            }
            _ => None,
        };
        Ok(item)
    }

    fn hear_private(&mut self, word: Option<Word>) -> Result<Option<SourceItem>, SessionError> {
        match word {
            Some(Word::HeartbeatQuery(number)) if self.fence.is_overtaken_by(number) => {
                return Err(SessionError::Elsewhere);
            }
            Some(Word::HeartbeatQuery(number)) if self.beat.is_latest(number) => {
                self.proven();
                self.beats = true;
            }
            Some(Word::Proof(number)) => {
                self.fence.proof(number);
                self.whereabouts.send_modify(|seen| seen.heard = number);
            }
            // May arrive before the answer to its statement.
            Some(Word::Probe) if !self.is_live() => {
                self.proven();
                self.stage = Stage::Live {
                    since: Instant::now(),
                };
                let private = self.private.clone();
                self.whereabouts
                    .send_modify(|seen| seen.live = Some(private));
                return Ok(Some(SourceItem::Live { lost: false }));
            }
            Some(Word::HeartbeatQuery(_) | Word::Probe) | None => {}
        }
        Ok(None)
    }

    fn proven(&mut self) {
        self.heartbeat.proven();
        self.timer.as_mut().reset(self.heartbeat.wakes_at());
    }
}

/// Waits for the probe; pending if none is being sent. Cancel-safe.
async fn probe_sent(stage: &mut Stage) -> Result<(), PublishError> {
    match stage {
        Stage::Probing(sent) => sent.await,
        _ => std::future::pending().await,
    }
}
