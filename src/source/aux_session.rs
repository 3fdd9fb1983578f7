//! The auxiliary session: publishes for clients, carries the probes of the listening
//! session, and checks the usage of the cluster's notification queue.
//!
//! It is opened on demand and kept only briefly, so that it also detects whether the
//! server still accepts connections: a server in smart shutdown waits for its sessions
//! to end, and a listening session alone would block it indefinitely
//! (`pg_ctl stop -m smart`).

use std::{pin::pin, sync::Arc, time::Duration};

use futures_util::{StreamExt, stream::FuturesUnordered};
use tokio::{
    select,
    sync::{oneshot, watch},
    time::{Instant, MissedTickBehavior, interval, sleep_until, timeout},
};
use tokio_postgres::{Client, SimpleQueryMessage, types::Type};
use tracing::{debug, warn};

use super::{
    connect::{Connected, SessionError, connect, describe, drive, is_about_the_text, message},
    conninfo::ConnInfo,
    private::Word,
    queue_usage::MAX_USAGE,
    session_link::{Inspection, ListenerStatus, Proof, Requests, Second},
};
use crate::{
    event::ChannelName,
    publish::{PublishError, PublishQueue, PublishRequest, TIME_LIMIT, private_channel},
};

/// Interval of the queue checks. The check itself is what frees a queue that was full.
const INSPECTION: Duration = Duration::from_secs(5);

/// Time for which one session accepts requests before the next one is opened.
const LIFE: Duration = INSPECTION;

/// Without a check for this long, the usage of the queue counts as unknown: three in a
/// row have failed.
const UNSEEN: Duration = Duration::from_secs(15);

/// Time limit for outstanding answers after the loss of the listening session; the next
/// session's probe has to wait for them.
const GRACE: Duration = Duration::from_secs(3);

/// Idle time after which the session is closed.
const REST: Duration = Duration::from_secs(1);

/// Maximum number of statements sent without waiting for answers. At the limit requests
/// stay in their queue.
const PIPELINE: usize = 64;

/// A short-lived session beside the listening one, for publishing and checks.
#[derive(Debug)]
pub struct AuxSession {
    conninfo: Arc<ConnInfo>,
    requests: Requests,
    inspection: watch::Sender<Inspection>,
    looked: Instant,
    listening: watch::Receiver<ListenerStatus>,
    /// Number of proofs that were sent.
    proofs: u64,
    /// The private channel of the listening session that received the proof of this
    /// one.
    heard_by: Option<ChannelName>,
}

/// Creates the two ends of the link.
pub(super) fn pair(conninfo: Arc<ConnInfo>, clients: PublishQueue) -> (Second, AuxSession) {
    let (prober, probes) = private_channel();
    let (inspection, inspections) = watch::channel(Inspection::default());
    let (listening, seen) = watch::channel(ListenerStatus::default());
    let second = Second {
        prober,
        inspections,
        listening,
    };
    let session = AuxSession {
        conninfo,
        requests: Requests { probes, clients },
        inspection,
        looked: Instant::now(),
        listening: seen,
        proofs: 0,
        heard_by: None,
    };
    (second, session)
}

impl AuxSession {
    /// Runs until the last publisher is dropped.
    pub async fn run(mut self) {
        let mut inspections = interval(INSPECTION);
        inspections.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let first = select! {
                request = self.requests.next() => match request {
                    Some(request) => Some(request),
                    None => return,
                },
                _ = inspections.tick() => None,
            };
            match self.open().await {
                Ok(connected) => {
                    let ended = self.serve(first, connected).await;
                    debug!(reason = %ended, "the auxiliary session ended");
                }
                Err(error) => {
                    warn!(reason = %error, "no auxiliary session");
                    let shutting_down = error.is_shutting_down();
                    self.inspection
                        .send_modify(|seen| seen.shutting_down = shutting_down);
                    self.refuse(first);
                }
            }
        }
    }

    /// Opens a session, and reports the queue usage as unknown if this takes too long.
    /// Starts again when the listening session is lost: on the same dead link this
    /// attempt would wait for its own time limit, and so would the next probe.
    async fn open(&mut self) -> Result<Connected, SessionError> {
        let inspection = self.inspection.clone();
        loop {
            let (unseen, mut listening) = (self.looked + UNSEEN, self.listening.clone());
            let losses = listening.borrow().losses;
            let mut looking = pin!(self.look());
            let is_lost = |seen: &ListenerStatus| seen.losses != losses;
            loop {
                select! {
                    looked = &mut looking => return looked,
                    Ok(_) = listening.wait_for(is_lost) => break,
                    () = sleep_until(unseen), if inspection.borrow().queue_usage.is_some() => {
                        inspection.send_modify(|seen| seen.queue_usage = None);
                    }
                }
            }
        }
    }

    /// Connects to the host of the listening session. Checks the queue before
    /// notifying: a queue that was full rejects every notification until then.
    async fn look(&mut self) -> Result<Connected, SessionError> {
        let mut connected = self.connect().await?;
        let look = queue_usage(&connected.client);
        // After 8 GB of backlog the first check takes some 15 s.
        let looked = timeout(6 * TIME_LIMIT, drive(&mut connected.connection, look)).await;
        let usage = looked.unwrap_or(Err(SessionError::Overdue))?;
        if usage > MAX_USAGE {
            warn!(
                usage,
                "notifications pile up: some session does not read its own"
            );
        }
        self.looked = Instant::now();
        let proven = self.prove(&mut connected).await;
        // Reported even if the proof failed: a full queue is a reason for that.
        self.inspection.send_modify(|seen| {
            seen.queue_usage = Some(usage);
            seen.shutting_down = false;
        });
        proven.map(|()| connected)
    }

    /// Sends a proof to the listening session and waits until it arrives: the host name
    /// may resolve to another server by now, while the listening session continues.
    /// Nothing is published before a live session has received the proof. If it does
    /// not arrive, the listening session ends, at the latest by its heartbeat, and so
    /// does the wait.
    async fn prove(&mut self, connected: &mut Connected) -> Result<(), SessionError> {
        let mut listening = self.listening.clone();
        self.heard_by = listening.borrow_and_update().live.clone();
        let Some(to) = self.heard_by.clone() else {
            return Ok(());
        };
        self.proofs += 1;
        let (number, inspection) = (self.proofs, &self.inspection);
        let respells = connected.respells();
        let Connected {
            client, connection, ..
        } = connected;
        drive(connection, async {
            commit(client, respells, to.clone(), Word::Proof(number)).await?;
            inspection.send_modify(|seen| seen.proof = Some(Proof { to, number }));
            // An error if the source was dropped.
            let _ = listening.wait_for(|seen| seen.heard >= number).await;
            Ok(())
        })
        .await
    }

    /// Connects, and repeats this if the listening session moved to another host
    /// meanwhile.
    async fn connect(&mut self) -> Result<Connected, SessionError> {
        loop {
            let host = self.listening.borrow_and_update().host.clone();
            let connected = connect(&self.conninfo, host.as_deref()).await?;
            let listens_on = self.listening.borrow().host.clone();
            if listens_on.is_none_or(|host| host == connected.host) {
                return Ok(connected);
            }
        }
    }

    /// Refuses all waiting requests at once, since each would only get the same error.
    fn refuse(&mut self, first: Option<PublishRequest>) {
        let waiting = std::iter::from_fn(|| self.requests.waiting());
        for request in first.into_iter().chain(waiting) {
            let _ = request.reply.send(Err(PublishError::Unavailable));
        }
    }

    /// Serves requests. Ends when it is idle, at the end of its life, or when the
    /// listening session moved to another host, is lost, or was replaced by one that
    /// has become live without receiving a proof of this session.
    async fn serve(&mut self, first: Option<PublishRequest>, connected: Connected) -> SessionError {
        let respells = connected.respells();
        let (client, mut connection) = (connected.client, connected.connection);
        let here = connected.host;
        let mut pipeline = FuturesUnordered::new();
        pipeline.extend(first.map(|request| notify(&client, respells, request)));
        let mut end = Instant::now() + LIFE;
        let mut rest = Instant::now() + REST;
        let mut patience = end + TIME_LIMIT;
        let losses = self.listening.borrow().losses;
        loop {
            let now = Instant::now();
            // Requests accepted from here on must reach the server of the listening
            // session, and not a link that may be dead.
            if self.listening.has_changed().unwrap_or(false) {
                let seen = self.listening.borrow_and_update();
                let is_elsewhere = seen.host.as_ref().is_some_and(|host| *host != here);
                let is_lost = seen.losses != losses;
                let is_unheard = seen.live.is_some() && seen.live != self.heard_by;
                if is_elsewhere || is_lost || is_unheard {
                    end = end.min(now);
                }
                if is_lost {
                    patience = patience.min(now + GRACE);
                }
            }
            let takes = now < end && pipeline.len() < PIPELINE;
            if pipeline.is_empty() && now >= end.min(rest) {
                return SessionError::Done;
            }
            if now >= patience {
                return SessionError::Overdue;
            }
            select! {
                biased;
                Ok(()) = self.listening.changed() => self.listening.mark_changed(),
                request = self.requests.next(), if takes => match request {
                    Some(request) => {
                        pipeline.push(notify(&client, respells, request));
                        rest = now + REST;
                    }
                    None => return SessionError::Done,
                },
                Some(answered) = pipeline.next() => if !answered {
                    return SessionError::Overdue;
                },
                message = message(&mut connection) => if let Err(ended) = message {
                    return ended;
                },
                () = sleep_until(end.min(rest)), if pipeline.is_empty() => {}
                () = sleep_until(patience) => {}
            }
        }
    }
}

/// The usage of the notification queue. A role's `statement_timeout`, which applies to
/// each statement separately, must not end the one check that frees a full queue.
async fn queue_usage(client: &Client) -> Result<f64, SessionError> {
    let sql = "SELECT pg_catalog.set_config('statement_timeout', '0', true); \
               SELECT pg_catalog.pg_notification_queue_usage()";
    let answer = client.simple_query(sql).await?;
    let last = answer.iter().rev().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0)?.parse().ok(),
        _ => None,
    });
    last.ok_or(SessionError::Closed)
}

async fn commit(
    client: &Client,
    respells: bool,
    channel: ChannelName,
    word: Word,
) -> Result<(), SessionError> {
    let (reply, answer) = oneshot::channel();
    let request = PublishRequest {
        channel,
        payload: word.payload(),
        reply,
    };
    if !notify(client, respells, request).await {
        return Err(SessionError::Overdue);
    }
    let answer = answer.await.unwrap_or(Err(PublishError::Unavailable));
    Ok(answer?)
}

/// Sends one notification as a transaction of its own. Returns whether the server
/// answered.
async fn notify(client: &Client, respells: bool, request: PublishRequest) -> bool {
    if request.reply.is_closed() {
        // The client already received the error that it was not confirmed.
        return true;
    }
    let (channel, payload) = (request.channel.as_str(), request.payload.as_str());
    let sql = "SELECT pg_catalog.pg_notify($1, $2)";
    let parameters: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 2] =
        [(&channel, Type::TEXT), (&payload, Type::TEXT)];
    let notified = async {
        if respells {
            // Otherwise the server would commit a text that was never sent.
            let back = client.query_typed("SELECT $1, $2", &parameters).await?;
            let is = |column, text: &str| {
                back.iter()
                    .all(|row| row.try_get::<_, &str>(column).ok() == Some(text))
            };
            if !is(0, channel) || !is(1, payload) {
                return Ok(false);
            }
        }
        client.query_typed(sql, &parameters).await.map(|_| true)
    };
    let Ok(answer) = timeout(TIME_LIMIT, notified).await else {
        return false;
    };
    let result = match answer {
        Ok(true) => Ok(()),
        Ok(false) => Err(PublishError::Unrepresentable),
        Err(error) if is_about_the_text(&error) => Err(PublishError::Unrepresentable),
        Err(error) => {
            warn!(reason = %describe(&error), "a notification was not committed");
            Err(PublishError::Unavailable)
        }
    };
    // The client may have stopped waiting.
    let _ = request.reply.send(result);
    true
}
