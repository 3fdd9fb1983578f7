//! The heartbeat statement: the session notifies itself.

use std::{future::pending, pin::Pin, sync::Arc};

use tokio_postgres::Client;
use tracing::info;

use super::{
    private::Word,
    statements::{Failure, run},
};
use crate::event::ChannelName;

type Sent = Pin<Box<dyn Future<Output = Result<(), Failure>> + Send>>;

/// The heartbeat in flight, if any.
#[derive(Default)]
pub(super) struct HeartbeatQuery {
    unanswered: Option<Sent>,
    latest: u64,
}

impl HeartbeatQuery {
    /// Number of the next heartbeat.
    pub(super) fn next(&self) -> u64 {
        self.latest + 1
    }

    /// Whether this is the newest heartbeat.
    pub(super) fn is_latest(&self, number: u64) -> bool {
        number == self.latest
    }

    /// Sends another heartbeat to `private`, after the answer to the one before.
    pub(super) fn send(&mut self, client: &Arc<Client>, private: &ChannelName) {
        let (client, before) = (Arc::clone(client), self.unanswered.take());
        self.latest = self.next();
        let (private, text) = (private.as_str(), Word::HeartbeatQuery(self.latest).text());
        let sql = format!("SELECT pg_catalog.pg_notify('{private}', '{text}')");
        self.unanswered = Some(Box::pin(async move {
            if let Some(before) = before {
                before.await?;
            }
            run(&client, &sql).await
        }));
    }

    /// Waits for the answer; pending if none is due. Success proves nothing, and a
    /// heartbeat that was not sent shows in its missing notification. Cancel-safe.
    pub(super) async fn answered(&mut self) -> Result<(), Failure> {
        let answer = match &mut self.unanswered {
            Some(sent) => sent.await,
            None => pending().await,
        };
        self.unanswered = None;
        match answer {
            Err(failure @ Failure::NotExecuted(_)) => {
                info!(reason = %failure, "a heartbeat could not be sent");
                Ok(())
            }
            other => other,
        }
    }
}
