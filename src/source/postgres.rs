//! The LISTEN source: one session at a time, for ever.

use std::{sync::Arc, time::SystemTime};

use async_stream::stream;
use tokio::time::sleep;
use tokio_stream::Stream;
use tracing::{info, warn};

use super::{
    Config, SecondSession, Source, SourceItem,
    backoff::Backoff,
    conninfo::ConnInfo,
    listening::Wanted,
    second_session::{self, Second},
    session::Session,
};
use crate::{
    demand::Demand,
    publish::{PublishQueue, Publisher},
};

/// Listens on one PostgreSQL session for the whole gateway.
#[derive(Debug)]
pub struct PostgresSource {
    conninfo: Arc<ConnInfo>,
    config: Config,
    second: Second,
}

impl PostgresSource {
    /// Connects when its items are first asked for. The second session has to
    /// run beside it: it serves `queue`, and proves each session of the source
    /// through `publisher`.
    pub fn new(
        conninfo: Arc<ConnInfo>,
        config: Config,
        publisher: Publisher,
        queue: PublishQueue,
    ) -> (Self, SecondSession) {
        let (second, session) = second_session::pair(Arc::clone(&conninfo), publisher, queue);
        let source = Self {
            conninfo,
            config,
            second,
        };
        (source, session)
    }
}

impl Source for PostgresSource {
    fn items(self, demand: Demand) -> impl Stream<Item = SourceItem> + Send {
        stream! {
            let mut wanted = Wanted::default();
            let mut backoff = Backoff::default();
            let mut lost = false;
            loop {
                match Session::open(&self.conninfo, self.config, &self.second, &wanted).await {
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
                        self.second.listens_on.send_replace(None);
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
