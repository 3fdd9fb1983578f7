//! Histogram of durations.

use std::time::Duration;

use super::Counts;

/// Upper bounds of the buckets in microseconds: from the time of a delivery on
/// an idle machine to what a reader would call an outage. The last bucket has no
/// bound.
pub const BOUNDS: [u64; 16] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
    1_000_000, 2_500_000, 5_000_000, 10_000_000,
];

/// One number for each bucket, one for durations over all bounds, and the sum.
const NUMBERS: usize = BOUNDS.len() + 2;
const SUM: usize = NUMBERS - 1;

/// A day, in microseconds. A longer duration, from another clock or an invented
/// time, adds no more than this to the sum: 10,000 times since 1970 would
/// overflow it, and a counter must not fall.
const MOST: u64 = 24 * 3600 * 1_000_000;

/// Histogram of durations.
#[derive(Debug, Default)]
pub struct Histogram(Counts<NUMBERS>);

/// Values of a histogram at one time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HistogramSnapshot {
    /// Number of durations of at most each of [`BOUNDS`].
    pub within: [u64; BOUNDS.len()],
    /// Number of all durations.
    pub count: u64,
    /// Sum of all durations.
    pub sum: Duration,
}

impl Histogram {
    /// Adds `count` durations of this length.
    pub fn observe(&self, took: Duration, count: u64) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bucket = BOUNDS.partition_point(|bound| *bound < micros);
        let place = self.0.place();
        let add = |index: usize, count| {
            place[index].fetch_add(count, std::sync::atomic::Ordering::Relaxed);
        };
        add(bucket, count);
        add(SUM, micros.min(MOST).saturating_mul(count));
    }

    /// The present values.
    pub fn spread(&self) -> HistogramSnapshot {
        let numbers = self.0.sums();
        let mut count = 0;
        let mut rising = numbers[..SUM].iter().map(|number| {
            count += number;
            count
        });
        let within = std::array::from_fn(|_| rising.next().unwrap_or(0));
        let last = rising.next().unwrap_or(0);
        HistogramSnapshot {
            within,
            count: last,
            sum: Duration::from_micros(numbers[SUM]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_belongs_to_its_bucket() {
        let histogram = Histogram::default();
        let micros = Duration::from_micros;
        for took in [0, 100, 101, 250, 10_000_000, 10_000_001] {
            histogram.observe(micros(took), 2);
        }
        let spread = histogram.spread();
        assert_eq!(spread.within[..3], [4, 8, 8]);
        assert_eq!(spread.within[15], 10);
        assert_eq!(spread.count, 12);
        assert_eq!(spread.sum, micros(2 * 20_000_452));
    }

    /// A payload may claim to be sent in 1970.
    #[test]
    fn the_sum_does_not_fall() {
        let histogram = Histogram::default();
        let half_a_century = Duration::from_secs(56 * 365 * 24 * 3600);
        let mut last = Duration::ZERO;
        for _ in 0..20_000 {
            histogram.observe(half_a_century, 1);
            let sum = histogram.spread().sum;
            assert!(sum > last, "{last:?}, then {sum:?}");
            last = sum;
        }
    }
}
