//! The second session: it publishes, carries the probes of the listening one,
//! and looks at the cluster's queue.
//!
//! Opened when there is something to do and kept for a moment only, so that it
//! also finds out whether the server still takes new connections: one that is
//! shutting down waits for the sessions it has, and a listening session alone
//! would keep it waiting for ever (`pg_ctl stop -m smart`).

use std::{sync::Arc, time::Duration};

use futures_util::{StreamExt, stream::FuturesUnordered};
use tokio::{
    select,
    sync::watch,
    time::{Instant, MissedTickBehavior, interval, sleep_until, timeout},
};
use tokio_postgres::{Client, types::Type};
use tracing::{debug, warn};

use super::{
    connect::{SessionError, connect, describe, drive, is_about_the_text, message},
    conninfo::{ConnInfo, Connection},
};
use crate::publish::{PublishError, PublishQueue, PublishRequest, TIME_LIMIT};

/// How often the queue is looked at. The look itself is what frees a queue
/// that once was full.
const INSPECTION: Duration = Duration::from_secs(5);

/// How long one session serves requests before the next is opened.
const LIFE: Duration = INSPECTION;

/// How long it waits for another request.
const REST: Duration = Duration::from_secs(1);

/// Statements sent without waiting for the one before. At the limit requests
/// stay in their queue.
const PIPELINE: usize = 64;

/// What the last look at the server showed.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Inspection {
    /// `pg_notification_queue_usage()`: 0 to 1, full at 1.
    pub queue_usage: f64,
    /// The server takes no new session, and waits for those it has to end.
    pub shutting_down: bool,
}

/// Serves `queue` until every [`Publisher`](crate::publish::Publisher) is
/// gone, and tells what it sees to `inspection`.
pub async fn serve_second(
    conninfo: Arc<ConnInfo>,
    mut queue: PublishQueue,
    inspection: watch::Sender<Inspection>,
) {
    let mut inspections = interval(INSPECTION);
    inspections.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let first = select! {
            request = queue.recv() => match request {
                Some(request) => Some(request),
                None => return,
            },
            _ = inspections.tick() => None,
        };
        match open(&conninfo).await {
            Ok((client, connection, seen)) => {
                inspection.send_replace(seen);
                let ended = serve(first, &mut queue, &client, connection).await;
                debug!(reason = %ended, "the second session ended");
            }
            Err(error) => {
                warn!(reason = %error, "no second session");
                inspection.send_modify(|seen| seen.shutting_down = error.is_shutting_down());
                refuse(first, &mut queue);
            }
        }
    }
}

/// Looks at the queue before anything is notified: until then one that was
/// full refuses every notification.
async fn open(conninfo: &ConnInfo) -> Result<(Client, Connection, Inspection), SessionError> {
    let (client, mut connection) = connect(conninfo).await?;
    let look = async {
        let sql = "SELECT pg_catalog.pg_notification_queue_usage()";
        let row = client.query_typed_one(sql, &[]).await?;
        Ok(row.try_get(0)?)
    };
    // After 8 GB of backlog the first look takes some 15 s.
    let looked = timeout(6 * TIME_LIMIT, drive(&mut connection, look)).await;
    let queue_usage = looked.unwrap_or(Err(SessionError::Overdue))?;
    let seen = Inspection {
        queue_usage,
        shutting_down: false,
    };
    Ok((client, connection, seen))
}

/// Everybody who waits is told now: each would only wait for the same answer.
fn refuse(first: Option<PublishRequest>, queue: &mut PublishQueue) {
    let waiting = std::iter::from_fn(|| queue.try_recv().ok());
    for request in first.into_iter().chain(waiting) {
        let _ = request.reply.send(Err(PublishError::Unavailable));
    }
}

/// Ends when there is nothing more to do, or at the end of its life.
async fn serve(
    first: Option<PublishRequest>,
    queue: &mut PublishQueue,
    client: &Client,
    mut connection: Connection,
) -> SessionError {
    let mut pipeline = FuturesUnordered::new();
    pipeline.extend(first.map(|request| notify(client, request)));
    let end = Instant::now() + LIFE;
    let mut rest = Instant::now() + REST;
    loop {
        let now = Instant::now();
        let takes = now < end && pipeline.len() < PIPELINE;
        if pipeline.is_empty() && (now >= end || now >= rest) {
            return SessionError::Done;
        }
        select! {
            request = queue.recv(), if takes => match request {
                Some(request) => {
                    pipeline.push(notify(client, request));
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
            () = sleep_until(rest.min(end)), if pipeline.is_empty() => {}
        }
    }
}

/// Each notification is a transaction of its own. Returns whether the server
/// answered.
async fn notify(client: &Client, request: PublishRequest) -> bool {
    let (channel, payload) = (request.channel.as_str(), request.payload.as_str());
    let sql = "SELECT pg_catalog.pg_notify($1, $2)";
    let parameters: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 2] =
        [(&channel, Type::TEXT), (&payload, Type::TEXT)];
    let Ok(answer) = timeout(TIME_LIMIT, client.query_typed(sql, &parameters)).await else {
        return false;
    };
    let result = match answer {
        Ok(_) => Ok(()),
        Err(error) if is_about_the_text(&error) => Err(PublishError::Unrepresentable),
        Err(error) => {
            warn!(reason = %describe(&error), "a notification was not committed");
            Err(PublishError::Unavailable)
        }
    };
    // One who no longer waits needs no answer.
    let _ = request.reply.send(result);
    true
}
