//! Counters of listening sessions and failed attempts.

use std::sync::Arc;

use crate::instruments::Counts;

/// Counters of the source. Cheap to clone; clones share them.
#[derive(Debug, Clone, Default)]
pub struct Counters(Arc<Counts<3>>);

/// The values of the counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Totals {
    /// Listening sessions that were opened.
    pub sessions: u64,
    /// Listening sessions that ended, whether they became live or not.
    pub ended: u64,
    /// Attempts to connect that failed.
    pub failures: u64,
}

impl Counters {
    pub(super) fn opened(&self) {
        self.0.add(0, 1);
    }

    pub(super) fn ended(&self) {
        self.0.add(1, 1);
    }

    pub(super) fn failed(&self) {
        self.0.add(2, 1);
    }

    /// The current values.
    pub fn totals(&self) -> Totals {
        let [sessions, ended, failures] = self.0.sums();
        Totals {
            sessions,
            ended,
            failures,
        }
    }
}
