//! Whether the gateway is ready, and if not, why.

use tokio::sync::watch;

use super::{Hub, SourceState, State};

/// Reason for not being ready; the first that applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unready {
    /// The hub is closed.
    #[error("the gateway is shutting down")]
    ShuttingDown,
    /// The source is not live.
    #[error("the database is not listened to")]
    SourceAway,
    /// The source reports that something beside the session is wrong.
    #[error("{0}")]
    Degraded(&'static str),
}

/// Present readiness.
pub type Readiness = Result<(), Unready>;

impl State {
    pub(super) fn readiness(&self) -> Readiness {
        if self.closing {
            return Err(Unready::ShuttingDown);
        }
        if self.source != SourceState::Live {
            return Err(Unready::SourceAway);
        }
        self.health.map_err(Unready::Degraded)
    }
}

impl Hub {
    /// Receiver of the readiness. Ready means that the source is live and healthy, and
    /// the hub is not closed.
    pub fn readiness(&self) -> watch::Receiver<Readiness> {
        self.shared.readiness.subscribe()
    }

    /// Called under the lock, so that the last update is of the last state.
    pub(super) fn tell_readiness(&self, state: &State) {
        let readiness = state.readiness();
        let tell = |was: &mut Readiness| std::mem::replace(was, readiness) != readiness;
        self.shared.readiness.send_if_modified(tell);
    }
}
