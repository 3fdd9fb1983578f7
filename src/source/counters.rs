//! What became of the attempts to listen.

use std::sync::Arc;

use crate::instruments::Counts;

/// Cheap to clone; all clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Counters(Arc<Counts<3>>);

/// What was counted up to now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Totals {
    /// Listening sessions that were opened.
    pub sessions: u64,
    /// Those that have ended, proven or not.
    pub ended: u64,
    /// Attempts that led to no session.
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

    /// Up to now.
    pub fn totals(&self) -> Totals {
        let [sessions, ended, failures] = self.0.sums();
        Totals {
            sessions,
            ended,
            failures,
        }
    }
}
