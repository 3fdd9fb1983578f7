//! The source of notifications. Independent of the hub and of transports: it follows a
//! [`Demand`] and reports a stream of [`SourceItem`]s.

mod aux_session;
mod connect;
pub mod conninfo;
mod counters;
mod drain_budget;
mod fence;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod heartbeat_query;
mod heartbeat_timer;
mod listen;
mod listening;
mod postgres;
mod private;
mod queue_usage;
mod session;
mod session_link;
mod sizes;
mod statements;
mod waiting;

use std::time::{Duration, SystemTime};

use tokio_stream::Stream;

use crate::{
    channel_demand::{Demand, Generation},
    event::{ChannelName, Health, Notification},
};
pub use aux_session::AuxSession;
pub use counters::{Counters, Totals};
pub use postgres::PostgresSource;
pub use queue_usage::QueueUsage;

/// The source's settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// Interval of the heartbeats of the listening session.
    pub heartbeat_interval: Duration,
    /// Time without any message after a heartbeat until the session is dropped.
    pub heartbeat_timeout: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            heartbeat_interval: Duration::from_secs(2),
            heartbeat_timeout: Duration::from_secs(3),
        }
    }
}

/// A source of notifications.
pub trait Source {
    /// The endless stream of items: a source that lost its connection reports
    /// `Interrupted`, and reconnects by itself.
    ///
    /// The stream must be polled without a pause: it drives the connection, and an
    /// unread socket would fill the cluster's queue
    /// (<https://www.postgresql.org/docs/current/sql-notify.html>).
    fn items(self, demand: Demand) -> impl Stream<Item = SourceItem> + Send;
}

/// An item of the source's stream. Items come in the order in which they became true.
#[derive(Debug, Clone, PartialEq)]
pub enum SourceItem {
    /// A notification, received by the live session.
    Notification(Notification),
    /// LISTEN has committed on the current session for these requests.
    Listening(Vec<(ChannelName, Generation)>),
    /// PostgreSQL cannot listen to this name.
    Refused(ChannelName, Generation),
    /// The live session has ended: no notification follows until `Live`.
    Interrupted {
        /// Time by the gateway's clock.
        since: SystemTime,
    },
    /// Whether the source can do its work beside the session; the reason if not.
    Health(Health),
    /// A session is proven, and every LISTEN that was committed before the
    /// loss is committed again.
    Live {
        /// Whether there was a live session before: commits in between are unknown then.
        lost: bool,
    },
}
