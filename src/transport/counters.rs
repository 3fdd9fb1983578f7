//! Counters of the transports, for rare events. The hub counts deliveries.

use super::protocol::codes::{CODES, Code};
use crate::{instruments::Counts, publish::PublishError};

/// Counters of refusals and of publishes.
#[derive(Debug, Default)]
pub(super) struct Counters {
    refusals: Counts<CODES>,
    /// Committed, and not committed.
    publishes: Counts<2>,
}

/// Values of the counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Totals {
    /// Requests that were refused and streams that the gateway ended, by code.
    pub refusals: [u64; CODES],
    /// Publishes of clients that were committed.
    pub published: u64,
    /// Publishes that were handed to the database and not, or perhaps not,
    /// committed.
    pub not_published: u64,
}

impl Counters {
    pub(super) fn refused(&self, code: Code) {
        self.refusals.add(code as usize, 1);
    }

    /// Counts the result of a client's publish.
    pub(super) fn published(&self, published: &Result<(), PublishError>) {
        match published {
            Ok(()) => self.publishes.add(0, 1),
            // The queue was full: the database did not receive it.
            Err(PublishError::TooMany) => {}
            Err(_) => self.publishes.add(1, 1),
        }
    }

    pub(super) fn totals(&self) -> Totals {
        let [published, not_published] = self.publishes.sums();
        Totals {
            refusals: self.refusals.sums(),
            published,
            not_published,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_database_was_not_asked_for_has_not_failed() {
        let counters = Counters::default();
        for error in [
            PublishError::TooMany,
            PublishError::Unavailable,
            PublishError::Unrepresentable,
        ] {
            counters.published(&Err(error));
        }
        counters.published(&Ok(()));
        let totals = counters.totals();
        assert_eq!((totals.published, totals.not_published), (1, 2));
    }
}
