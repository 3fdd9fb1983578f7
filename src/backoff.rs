//! Exponential backoff with jitter. Pure arithmetic.

use std::time::Duration;

/// Doubles from `MIN` to `MAX`; each wait is drawn from its upper half, so that
/// the clients of one lost server do not all return at the same time.
#[derive(Debug, Clone, Default)]
pub(crate) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// Short, since a restarting server is back soon.
    pub(crate) const MIN: Duration = Duration::from_millis(100);
    /// Few attempts at a dead server, whose return is still noticed soon enough.
    pub(crate) const MAX: Duration = Duration::from_secs(10);

    /// The next wait, `jitter` in `0.0..1.0`.
    pub(crate) fn next(&mut self, jitter: f64) -> Duration {
        let doubled = Self::MIN.saturating_mul(1 << self.failures.min(16));
        self.failures = self.failures.saturating_add(1);
        doubled.min(Self::MAX).mul_f64(0.5 + jitter / 2.0)
    }

    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_doubles_up_to_its_maximum_and_begins_anew() {
        let mut backoff = Backoff::default();
        let millis = |b: &mut Backoff| b.next(1.0).as_millis();
        let waits: Vec<_> = (0..8).map(|_| millis(&mut backoff)).collect();
        assert_eq!(waits, [100, 200, 400, 800, 1600, 3200, 6400, 10_000]);
        assert_eq!((0..100).map(|_| millis(&mut backoff)).max(), Some(10_000));
        backoff.reset();
        assert_eq!(millis(&mut backoff), 100);
    }

    #[test]
    fn no_wait_is_shorter_than_half() {
        assert_eq!(Backoff::default().next(0.0), Backoff::MIN / 2);
    }
}
