//! How full the cluster's notification queue is, and whether the gateway is ready.

use tokio::sync::watch;

use super::session_link::Inspection;
use crate::event::Health;

/// Above this part of the queue the gateway is not ready, and logs a warning: some session
/// listens and has stopped reading, and at 1 every transaction that notifies fails.
pub(super) const MAX_USAGE: f64 = 0.25;

/// The usage at the last inspection. Cheap to clone.
#[derive(Debug, Clone)]
pub struct QueueUsage(pub(super) watch::Receiver<Inspection>);

impl QueueUsage {
    /// 0 to 1, full at 1; `None` if it is unknown.
    pub fn get(&self) -> Option<f64> {
        self.0.borrow().queue_usage
    }
}

pub(super) fn health(usage: Option<f64>) -> Health {
    match usage {
        None => Err("nobody can see how full PostgreSQL's notification queue is"),
        Some(usage) if usage > MAX_USAGE => Err(
            "PostgreSQL's notification queue is filling: some session has listened and does \
             not read",
        ),
        Some(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quarter_of_the_queue_is_the_limit() {
        assert_eq!(health(Some(0.25)), Ok(()));
        assert!(health(Some(0.26)).is_err());
        assert!(health(None).is_err());
    }
}
