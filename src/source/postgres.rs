//! The LISTEN source: one session at a time, reopened whenever it ends.

use std::{sync::Arc, time::SystemTime};

use async_stream::stream;
use tokio::{select, time::sleep};
use tokio_stream::Stream;
use tracing::{info, warn};

use super::{
    AuxSession, Config, Counters, QueueUsage, Source, SourceItem, aux_session, connect::connect,
    conninfo::ConnInfo, listening::Wanted, session::Session, session_link::Second,
};
use crate::{
    backoff::Backoff,
    channel_demand::{Demand, ListenRequest},
    publish::PublishQueue,
};

/// Listens on one PostgreSQL session for the whole gateway.
#[derive(Debug)]
pub struct PostgresSource {
    conninfo: Arc<ConnInfo>,
    config: Config,
    second: Second,
    counters: Counters,
}

impl PostgresSource {
    /// Connects when its items are first polled. The auxiliary session has to run
    /// beside it: it serves `clients`, and proves each session of the source.
    pub fn new(
        conninfo: Arc<ConnInfo>,
        config: Config,
        clients: PublishQueue,
    ) -> (Self, AuxSession) {
        let (second, session) = aux_session::pair(Arc::clone(&conninfo), clients);
        let source = Self {
            conninfo,
            config,
            second,
            counters: Counters::default(),
        };
        (source, session)
    }

    /// How full the cluster's notification queue is.
    pub fn queue_usage(&self) -> QueueUsage {
        QueueUsage(self.second.inspections.clone())
    }

    /// Its counters.
    pub fn counters(&self) -> Counters {
        self.counters.clone()
    }
}

impl Source for PostgresSource {
    fn items(self, demand: Demand) -> impl Stream<Item = SourceItem> + Send {
        stream! {
            let mut wanted = Wanted::default();
            let mut backoff = Backoff::default();
            let mut lost = false;
            loop {
                let opening = connect(&self.conninfo, None);
                match tracking_demand(&demand, &mut wanted, opening).await {
                    Ok(connected) => {
                        self.counters.opened();
                        warn_of_encoding(&connected.encoding);
                        let mut session =
                            Session::begin(connected, self.config, &self.second, &wanted);
                        let ended = loop {
                            match session.next(&demand, &mut wanted).await {
                                Ok(item) => yield told(item, &mut lost),
                                Err(ended) => break ended,
                            }
                        };
                        warn!(reason = %ended, "the listening session ended");
                        self.counters.ended();
                        self.second.left(session.is_live());
                        if session.is_live() {
                            yield SourceItem::Interrupted { since: SystemTime::now() };
                        }
                        if session.has_lasted() {
                            backoff.reset();
                        }
                    }
                    Err(error) => {
                        self.counters.failed();
                        warn!(reason = %error, "the database cannot be listened to");
                    }
                }
                let wait = backoff.next(fastrand::f64());
                info!(wait_seconds = wait.as_secs_f64(), "connecting again after a pause");
                tracking_demand(&demand, &mut wanted, sleep(wait)).await;
            }
        }
    }
}

/// Applies listen requests while there is no session, so that they do not accumulate: a
/// channel that came and went leaves nothing behind.
async fn tracking_demand<T>(
    demand: &Demand,
    wanted: &mut Wanted,
    work: impl Future<Output = T>,
) -> T {
    tokio::pin!(work);
    loop {
        let wishes = select! {
            done = &mut work => return done,
            wishes = demand.changed() => wishes,
        };
        for (name, wish) in wishes {
            match wish {
                ListenRequest::Listen(generation, _) => drop(wanted.insert(name, generation)),
                ListenRequest::Unlisten => drop(wanted.remove(&name)),
            }
        }
    }
}

/// The first session loses nothing; each later one follows a loss.
fn told(item: SourceItem, lost: &mut bool) -> SourceItem {
    match item {
        SourceItem::Live { .. } => SourceItem::Live {
            lost: std::mem::replace(lost, true),
        },
        other => other,
    }
}

/// Such a database holds bytes of any kind. If a notification is not UTF-8, the server
/// cannot send it to this session and ends the session: each costs one gap.
fn warn_of_encoding(encoding: &str) {
    if encoding == "SQL_ASCII" {
        warn!("the database is SQL_ASCII: notifying what is not UTF-8 ends the session");
    }
}
