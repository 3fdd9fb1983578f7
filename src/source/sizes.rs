//! Numbers of LISTENs and UNLISTENs in one round trip. Pure.

/// Limits of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sizes {
    /// Maximum of LISTENs, and of UNLISTENs: 10,000 channels of a new session take ten
    /// round trips, and the text of one stays below 280 KB.
    pub(super) most: usize,
    /// Maximum of name comparisons in a batch, which take some 15 ms. PostgreSQL
    /// delivers no notifications while it works on a batch, and up to version 18 each
    /// statement compares its name with all that the session listens to.
    pub(super) comparisons: usize,
    /// Minimum of LISTENs, however large the set is; also of UNLISTENs next to a
    /// LISTEN, so that they progress while new channels arrive without a pause.
    pub(super) few: usize,
}

impl Default for Sizes {
    fn default() -> Self {
        Self {
            most: 1000,
            comparisons: 3_000_000,
            few: 100,
        }
    }
}

impl Sizes {
    /// Maximum of LISTENs while the session listens to `listened_to` names.
    pub(super) fn listens(self, listened_to: usize) -> usize {
        (self.comparisons / listened_to.max(1)).clamp(self.few, self.most)
    }

    /// Maximum of UNLISTENs next to `listens` LISTENs, out of `most`. Never fewer than
    /// the LISTENs, or the set would grow while others are to leave it.
    pub(super) fn unlistens(self, listens: usize, most: usize) -> usize {
        match listens {
            0 => most,
            listens => listens.max(self.few),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_smaller_where_many_are_listened_to() {
        let sizes = Sizes::default();
        let listens = [0, 1, 3000, 10_000, 1_000_000].map(|count| sizes.listens(count));
        assert_eq!(listens, [1000, 1000, 1000, 300, 100]);
    }

    #[test]
    fn no_fewer_leave_than_come() {
        let sizes = Sizes::default();
        let unlistens = [0, 1, 99, 101, 300].map(|listens| sizes.unlistens(listens, 300));
        assert_eq!(unlistens, [300, 100, 100, 101, 300]);
    }
}
