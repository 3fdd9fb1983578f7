//! Where notifications come from. Knows no hub and no transport: it follows
//! a [`Demand`] and says what it hears as a stream of [`SourceItem`]s.

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
    /// How often the listening session notifies itself.
    pub heartbeat_interval: Duration,
    /// How long it may hear nothing after that, before it is dropped.
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

/// Something that hears notifications.
pub trait Source {
    /// What the source hears, for ever: a source that lost its connection
    /// says `Interrupted`, and comes back by itself.
    ///
    /// The stream must be polled without a pause: it is what drives the
    /// connection, and an unread socket would fill the cluster's queue
    /// (<https://www.postgresql.org/docs/current/sql-notify.html>).
    fn items(self, demand: Demand) -> impl Stream<Item = SourceItem> + Send;
}

/// What a source says, in the order in which it came to be true.
#[derive(Debug, Clone, PartialEq)]
pub enum SourceItem {
    /// One notification, of the session that is live.
    Notification(Notification),
    /// LISTEN has committed on the present session, for these wishes.
    Listening(Vec<(ChannelName, Generation)>),
    /// PostgreSQL cannot listen to this name.
    Refused(ChannelName, Generation),
    /// The session is lost, or suspect: nothing follows until `Live`.
    Interrupted {
        /// By the gateway's clock.
        since: SystemTime,
    },
    /// Whether the source can do its work beside the session; the reason if not.
    Health(Health),
    /// A session is proven, and every LISTEN that was committed before the
    /// loss is committed again.
    Live {
        /// There was a session before: whatever was committed in between is
        /// unknown.
        lost: bool,
    },
}
