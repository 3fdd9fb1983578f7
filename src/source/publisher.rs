//! The publishing session: opened at the first request, and again at the
//! first one after it broke. Each notification is a transaction of its own.

use std::sync::Arc;

use futures_util::{StreamExt, stream::FuturesUnordered};
use tokio::{select, time::timeout};
use tokio_postgres::{Client, types::Type};
use tracing::{info, warn};

use super::{
    connect::{SessionError, connect, describe, is_about_the_name, message},
    conninfo::{ConnInfo, Connection},
};
use crate::publish::{PublishError, PublishQueue, PublishRequest, TIME_LIMIT};

/// Statements sent without waiting for the one before. At the limit requests
/// stay in their queue.
const PIPELINE: usize = 64;

/// Serves `queue` until every [`Publisher`](crate::publish::Publisher) is
/// gone.
pub async fn publish(conninfo: Arc<ConnInfo>, mut queue: PublishQueue) {
    while let Some(first) = queue.recv().await {
        match connect(&conninfo).await {
            Ok((client, connection)) => {
                let ended = serve(first, &mut queue, &client, connection).await;
                info!(reason = %ended, "the publishing session ended");
            }
            Err(error) => {
                warn!(reason = %error, "cannot publish");
                refuse(first, &mut queue);
            }
        }
    }
}

/// Everybody who waits is told now: each would only wait for the same answer.
fn refuse(first: PublishRequest, queue: &mut PublishQueue) {
    let waiting = std::iter::once(first).chain(std::iter::from_fn(|| queue.try_recv().ok()));
    for request in waiting {
        let _ = request.reply.send(Err(PublishError::Unavailable));
    }
}

async fn serve(
    first: PublishRequest,
    queue: &mut PublishQueue,
    client: &Client,
    mut connection: Connection,
) -> SessionError {
    let mut pipeline = FuturesUnordered::new();
    pipeline.push(notify(client, first));
    loop {
        let has_room = pipeline.len() < PIPELINE;
        select! {
            request = queue.recv(), if has_room => match request {
                Some(request) => pipeline.push(notify(client, request)),
                None => return SessionError::Closed,
            },
            Some(answered) = pipeline.next() => if !answered {
                return SessionError::Overdue;
            },
            message = message(&mut connection) => if let Err(ended) = message {
                return ended;
            },
        }
    }
}

/// Returns whether the server answered.
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
        Err(error) if is_about_the_name(&error) => Err(PublishError::Unrepresentable),
        Err(error) => {
            warn!(reason = %describe(&error), "a notification was not committed");
            Err(PublishError::Unavailable)
        }
    };
    // One who no longer waits needs no answer.
    let _ = request.reply.send(result);
    true
}
