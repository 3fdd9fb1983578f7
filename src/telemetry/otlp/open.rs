//! Limit of the open spans. Readers that do not read keep spans open until the log drops the events;
//! so that these do not use up the limit, a new span takes the place of the oldest.

use std::{
    collections::BTreeSet,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Ordered by their start.
#[derive(Debug)]
pub(super) struct OpenSpans {
    limit: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    next: u64,
    open: BTreeSet<u64>,
}

/// Identifies a span that is or was open.
#[derive(Debug, Clone, Copy)]
pub(super) struct Number(u64);

impl OpenSpans {
    /// At most `limit`.
    pub(super) fn up_to(limit: usize) -> Self {
        let state = Mutex::default();
        Self { limit, state }
    }

    /// Adds one; true if the oldest was removed for it.
    pub(super) fn begin(&self) -> (Number, bool) {
        let mut state = self.lock();
        let number = state.next;
        state.next += 1;
        let is_full = state.open.len() >= self.limit;
        let gave_way = is_full && state.open.pop_first().is_some();
        state.open.insert(number);
        (Number(number), gave_way)
    }

    /// Whether it was open.
    pub(super) fn end(&self, Number(number): Number) -> bool {
        self.lock().open.remove(&number)
    }

    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.lock().open.len()
    }

    /// A poisoned lock is used: no change is left half done by a panic.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_gives_way() {
        let spans = OpenSpans::up_to(2);
        let [(first, _), (second, is_over)] = [spans.begin(), spans.begin()];
        assert!(!is_over && spans.end(first) && !spans.end(first));
        let (third, is_over) = spans.begin();
        assert!(!is_over);
        let (fourth, is_over) = spans.begin();
        assert!(is_over && !spans.end(second));
        assert!(spans.end(third) && spans.end(fourth));
        assert_eq!(spans.count(), 0);
    }
}
