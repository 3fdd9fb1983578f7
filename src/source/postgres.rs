//! The LISTEN source: one session at a time, for ever.

use std::{sync::Arc, time::SystemTime};

use async_stream::stream;
use tokio::{sync::watch, time::sleep};
use tokio_stream::Stream;
use tracing::{info, warn};

use super::{
    Config, Inspection, Source, SourceItem, backoff::Backoff, connect::SessionError,
    conninfo::ConnInfo, listening::Wanted, session::Session,
};
use crate::{demand::Demand, publish::Publisher};

/// Listens on one PostgreSQL session for the whole gateway.
#[derive(Debug)]
pub struct PostgresSource {
    conninfo: Arc<ConnInfo>,
    config: Config,
    publisher: Publisher,
    inspections: watch::Receiver<Inspection>,
}

impl PostgresSource {
    /// Connects when its items are first asked for. `publisher` and
    /// `inspections` are the second session's: it probes each new session,
    /// and tells when the server is shutting down.
    pub fn new(
        conninfo: Arc<ConnInfo>,
        config: Config,
        publisher: Publisher,
        inspections: watch::Receiver<Inspection>,
    ) -> Self {
        Self {
            conninfo,
            config,
            publisher,
            inspections,
        }
    }

    async fn open(&self, wanted: &Wanted) -> Result<Session, SessionError> {
        let (publisher, inspections) = (&self.publisher, &self.inspections);
        Session::open(&self.conninfo, self.config, publisher, inspections, wanted).await
    }
}

impl Source for PostgresSource {
    fn items(self, demand: Demand) -> impl Stream<Item = SourceItem> + Send {
        stream! {
            let mut wanted = Wanted::default();
            let mut backoff = Backoff::default();
            let mut lost = false;
            loop {
                match self.open(&wanted).await {
                    Ok(mut session) => {
                        let ended = loop {
                            match session.next(&demand, &mut wanted).await {
                                Ok(item) => {
                                    yield told(item, &mut lost, &mut backoff);
                                }
                                Err(ended) => break ended,
                            }
                        };
                        warn!(reason = %ended, "the listening session ended");
                        if session.is_live() {
                            yield SourceItem::Interrupted { since: SystemTime::now() };
                        }
                    }
                    Err(error) => warn!(reason = %error, "the database cannot be listened to"),
                }
                let wait = backoff.next(fastrand::f64());
                info!(wait_ms = wait.as_millis(), "connecting again after a pause");
                sleep(wait).await;
            }
        }
    }
}

/// The first session loses nothing; each later one follows a loss. Only a
/// session that became live is a success.
fn told(item: SourceItem, lost: &mut bool, backoff: &mut Backoff) -> SourceItem {
    match item {
        SourceItem::Live { .. } => {
            backoff.reset();
            SourceItem::Live {
                lost: std::mem::replace(lost, true),
            }
        }
        other => other,
    }
}
