//! Token buckets of one second's worth that fill steadily. A bucket is stored
//! as the moment when it is full again (the generic cell rate algorithm of
//! ITU-T I.371), so it is one number, and a full bucket need not be stored.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::transport::protocol::codes::{Code, Refusal};

const SECOND: Duration = Duration::from_secs(1);

/// Maximum number of buckets that are not full, of 48 bytes each at most: more
/// clients than the database serves within seconds. At the limit, clients
/// without a bucket are refused until some are full.
const MAX_BUCKETS: usize = 1 << 16;

/// Below this number, full buckets are not removed.
const FEW: usize = 1 << 10;

/// Rate and size of a token bucket.
#[derive(Debug, Clone, Copy)]
pub(in crate::transport) struct Rate {
    times: u32,
    burst: u32,
}

impl Rate {
    /// At least one a second; the bucket holds one second's worth.
    pub(in crate::transport) fn a_second(times: usize) -> Self {
        let times = u32::try_from(times.max(1)).unwrap_or(u32::MAX);
        let burst = times;
        Self { times, burst }
    }

    /// The same rate with a bucket of this size.
    pub(super) fn with_burst(self, burst: usize) -> Self {
        let burst = u32::try_from(burst).unwrap_or(u32::MAX);
        Self { burst, ..self }
    }

    /// When a bucket that is full at `full_at` is full again after taking `count`
    /// now; `None` if it holds fewer.
    fn taken(self, full_at: Instant, now: Instant, count: u32) -> Option<Instant> {
        let full_at = full_at.max(now) + SECOND * count / self.times;
        (full_at - now <= SECOND * self.burst / self.times).then_some(full_at)
    }
}

/// Token bucket.
#[derive(Debug)]
pub(in crate::transport) struct TokenBucket {
    full_at: Instant,
    rate: Rate,
}

impl TokenBucket {
    pub(in crate::transport) fn new(rate: Rate) -> Self {
        let full_at = Instant::now();
        Self { full_at, rate }
    }

    /// # Errors
    /// The bucket is empty.
    pub(in crate::transport) fn take(&mut self) -> Result<(), Refusal> {
        let taken = self.rate.taken(self.full_at, Instant::now(), 1);
        self.full_at = taken.ok_or_else(|| {
            let rule = format!("at most {} messages a second", self.rate.times);
            Refusal::new(Code::TooMany, rule)
        })?;
        Ok(())
    }
}

/// Token buckets by key.
#[derive(Debug)]
pub(super) struct Rates<K> {
    buckets: Mutex<Buckets<K>>,
}

#[derive(Debug)]
struct Buckets<K> {
    full_at: HashMap<K, Instant>,
    /// At this number, full buckets are removed.
    look_at: usize,
}

/// Reason for a refused take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    TooFast,
    TooManyClients,
}

impl<K> Default for Rates<K> {
    fn default() -> Self {
        let buckets = Buckets {
            full_at: HashMap::new(),
            look_at: FEW,
        };
        Self {
            buckets: Mutex::new(buckets),
        }
    }
}

impl<K: Copy + Eq + Hash> Rates<K> {
    /// Whether one can be taken. A key without a bucket has a full one.
    pub(super) fn has(&self, key: K, rate: Rate) -> bool {
        let now = Instant::now();
        let buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let known = buckets.full_at.get(&key).copied();
        rate.taken(known.unwrap_or(now), now, 1).is_some()
    }

    /// Takes one. The rate may differ between calls.
    pub(super) fn take(&self, key: K, rate: Rate) -> Result<(), Refused> {
        self.take_some(key, rate, 1)
    }

    /// Takes `count`, all or none.
    pub(super) fn take_some(&self, key: K, rate: Rate, count: usize) -> Result<(), Refused> {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        let now = Instant::now();
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let known = buckets.full_at.get(&key).copied();
        if known.is_none() && !buckets.have_room(now) {
            return Err(Refused::TooManyClients);
        }
        let taken = rate.taken(known.unwrap_or(now), now, count);
        let full_at = taken.ok_or(Refused::TooFast)?;
        buckets.full_at.insert(key, full_at);
        Ok(())
    }
}

impl<K: Copy + Eq + Hash> Buckets<K> {
    /// Removes full buckets each time the number has doubled, so the cost of a
    /// bucket does not depend on their number.
    fn have_room(&mut self, now: Instant) -> bool {
        if self.full_at.len() >= self.look_at {
            self.full_at.retain(|_, full_at| *full_at > now);
            self.look_at = (2 * self.full_at.len()).clamp(FEW, MAX_BUCKETS);
        }
        self.full_at.len() < MAX_BUCKETS
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const RATE: Rate = of(3);
    const SLOW: Rate = of(1);

    const fn of(times: u32) -> Rate {
        let burst = times;
        Rate { times, burst }
    }

    fn taken(rates: &Rates<u32>, key: u32, times: usize) -> usize {
        (0..times).filter(|_| rates.take(key, RATE).is_ok()).count()
    }

    #[tokio::test(start_paused = true)]
    async fn a_second_s_worth_at_once_and_then_steadily() {
        let rates = Rates::default();
        assert_eq!(taken(&rates, 1, 10), 3);
        assert_eq!(rates.take(1, RATE), Err(Refused::TooFast));
        assert_eq!(taken(&rates, 2, 10), 3, "another has its own");
        advance(Duration::from_millis(334)).await;
        assert_eq!(taken(&rates, 1, 10), 1);
        advance(Duration::from_secs(60)).await;
        assert_eq!(taken(&rates, 1, 10), 3, "no more than it holds");
    }

    #[tokio::test(start_paused = true)]
    async fn a_bucket_may_hold_more_than_a_second_s_worth() {
        let rates = Rates::default();
        let rate = RATE.with_burst(10);
        assert_eq!(rates.take_some(1, rate, 11), Err(Refused::TooFast));
        assert_eq!(rates.take_some(1, rate, 8), Ok(()));
        assert_eq!(rates.take_some(1, rate, 3), Err(Refused::TooFast));
        assert_eq!(rates.take_some(1, rate, 2), Ok(()), "all or none");
        advance(SECOND).await;
        assert_eq!(rates.take_some(1, rate, 4), Err(Refused::TooFast));
        assert_eq!(rates.take_some(1, rate, 3), Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn one_bucket_is_the_same() {
        let mut pace = TokenBucket::new(Rate::a_second(3));
        let mut taken = |times| (0..times).filter(|_| pace.take().is_ok()).count();
        assert_eq!(taken(10), 3);
        advance(SECOND).await;
        assert_eq!(taken(10), 3);
        let mut least = TokenBucket::new(Rate::a_second(0));
        assert!(least.take().is_ok());
        assert_eq!(least.take().unwrap_err().code, Code::TooMany);
    }

    #[tokio::test(start_paused = true)]
    async fn they_are_bounded_and_a_second_later_forgotten() {
        let rates = Rates::default();
        for key in 0..MAX_BUCKETS as u32 {
            assert_eq!(rates.take(key, SLOW), Ok(()));
        }
        let another = rates.take(u32::MAX, SLOW);
        assert_eq!(another, Err(Refused::TooManyClients));
        let known = rates.take(0, SLOW);
        assert_eq!(known, Err(Refused::TooFast), "who is known stays");
        advance(SECOND).await;
        assert_eq!(rates.take(u32::MAX, SLOW), Ok(()));
        assert_eq!(rates.buckets.lock().unwrap().full_at.len(), 1);
    }
}
