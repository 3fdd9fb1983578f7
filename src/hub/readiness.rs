//! Whether the gateway does all it is there for, and why it does not.

use tokio::sync::watch;

use super::{Hub, SourceState, State};

/// Above this part of the cluster's notification queue the gateway is not
/// ready: some listener has stopped reading, and at 1 every transaction that
/// notifies fails.
const MAX_QUEUE_USAGE: f64 = 0.25;

/// What is missing; the first that holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unready {
    /// The hub is closed.
    #[error("the gateway is shutting down")]
    ShuttingDown,
    /// The source is not live.
    #[error("the database is not listened to")]
    SourceAway,
    /// The second session is not there to look.
    #[error("nobody can see how full PostgreSQL's notification queue is")]
    QueueUnseen,
    /// More than a quarter of it is taken.
    #[error(
        "PostgreSQL's notification queue is filling: some session has listened and does not read"
    )]
    QueueFilling,
}

/// Now, and from now on.
pub type Readiness = Result<(), Unready>;

impl State {
    pub(super) fn readiness(&self) -> Readiness {
        if self.closing {
            return Err(Unready::ShuttingDown);
        }
        if self.source != SourceState::Live {
            return Err(Unready::SourceAway);
        }
        match self.queue_usage {
            None => Err(Unready::QueueUnseen),
            Some(usage) if usage > MAX_QUEUE_USAGE => Err(Unready::QueueFilling),
            Some(_) => Ok(()),
        }
    }
}

impl Hub {
    /// Follows it: the source is live, PostgreSQL's queue has room, and the hub
    /// is not closed.
    pub fn readiness(&self) -> watch::Receiver<Readiness> {
        self.shared.readiness.subscribe()
    }

    /// Under the lock, so that the last word is the last state's.
    pub(super) fn tell_readiness(&self, state: &State) {
        let readiness = state.readiness();
        let tell = |was: &mut Readiness| std::mem::replace(was, readiness) != readiness;
        self.shared.readiness.send_if_modified(tell);
    }
}
