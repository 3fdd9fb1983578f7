//! How many LISTENs and UNLISTENs one round trip takes. Pure.

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sizes {
    /// LISTENs, and as many UNLISTENs: 10,000 channels of a new session take ten
    /// round trips, and the text of one stays under 280 KB.
    pub(super) most: usize,
    /// While PostgreSQL works on a batch it passes no notification on, and up to
    /// version 18 each statement compares its name with those that are listened to.
    /// So many comparisons take some 15 ms.
    pub(super) comparisons: usize,
    /// However many are listened to; and UNLISTENs that go with a single LISTEN, so
    /// that they get done while newcomers come without a pause.
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
    /// LISTENs where so many names are listened to.
    pub(super) fn listens(self, listened_to: usize) -> usize {
        (self.comparisons / listened_to.max(1)).clamp(self.few, self.most)
    }

    /// UNLISTENs that go with so many LISTENs, of `most` that may: never fewer than those, or the
    /// set would grow while others are to leave it.
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
