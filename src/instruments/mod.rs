//! Sharded counters: many threads add to them, and they are read rarely.
//!
//! Each layer owns its own, as plain values; nothing here is global, and the
//! counting code does not depend on the reading code. An addition costs some 5 ns
//! and never waits: each thread has its own shard, so that two threads do not
//! contend for a cache line.

mod histogram;

use std::{
    array::from_fn,
    fmt,
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
};

pub use histogram::{BOUNDS, Histogram, HistogramSnapshot};

/// Number of shards. More threads than these share them, which is slower, and
/// as correct.
const PLACES: usize = 16;

thread_local! {
    static PLACE: usize = {
        static THREADS: AtomicUsize = AtomicUsize::new(0);
        THREADS.fetch_add(1, Ordering::Relaxed) % PLACES
    };
}

/// One shard. Two cache lines: processors fetch them in pairs.
#[repr(align(128))]
struct Place<const N: usize>([AtomicU64; N]);

/// `N` sharded counters that only rise.
pub struct Counts<const N: usize>(Box<[Place<N>; PLACES]>);

impl<const N: usize> Default for Counts<N> {
    fn default() -> Self {
        Self(Box::new(from_fn(|_| Place(from_fn(|_| AtomicU64::new(0))))))
    }
}

impl<const N: usize> fmt::Debug for Counts<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.sums().fmt(f)
    }
}

impl<const N: usize> Counts<N> {
    /// Adds `count` to the number at `index`.
    pub fn add(&self, index: usize, count: u64) {
        self.place()[index].fetch_add(count, Ordering::Relaxed);
    }

    /// Adds to all counters.
    pub fn add_all(&self, counts: [u64; N]) {
        let place = self.place();
        for (number, count) in place.iter().zip(counts) {
            if count > 0 {
                number.fetch_add(count, Ordering::Relaxed);
            }
        }
    }

    /// The sums at about this time: never less than at the last call.
    pub fn sums(&self) -> [u64; N] {
        let sum = |index: usize| {
            let places = self.0.iter();
            let numbers = places.map(|Place(numbers)| numbers[index].load(Ordering::Relaxed));
            numbers.fold(0, u64::wrapping_add)
        };
        from_fn(sum)
    }

    fn place(&self) -> &[AtomicU64; N] {
        // A thread that is ending uses the first shard.
        let place = PLACE.try_with(|place| *place).unwrap_or(0);
        &self.0[place].0
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, thread};

    use super::*;

    #[test]
    fn what_many_threads_add_is_there() {
        let counts = Arc::new(Counts::<3>::default());
        let add = |n: u64| {
            let counts = Arc::clone(&counts);
            thread::spawn(move || {
                for _ in 0..1000 {
                    counts.add(1, n);
                    counts.add_all([1, 0, 2]);
                }
            })
        };
        let threads: Vec<_> = (0..2 * PLACES as u64).map(add).collect();
        for thread in threads {
            thread.join().unwrap();
        }
        let all = 2 * PLACES as u64;
        let expected = [1000 * all, 1000 * (0..all).sum::<u64>(), 2000 * all];
        assert_eq!(counts.sums(), expected);
    }
}
