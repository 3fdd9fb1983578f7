//! Number of permits for each key.

use std::{
    collections::{HashMap, hash_map::Entry},
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// Minimum interval between log lines about a reached limit: a line for each
/// refusal would flood the log.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

/// Permits held, by key. A key without permits is removed, so there are never
/// more keys than permits.
#[derive(Debug)]
pub(in crate::transport) struct Quota<K> {
    held: Mutex<HashMap<K, u32>>,
    news: LogThrottle,
}

/// Rate limit of log lines about a limit that is reached repeatedly.
#[derive(Debug, Default)]
pub(in crate::transport) struct LogThrottle(Mutex<Option<Instant>>);

impl LogThrottle {
    /// Whether to log now; if so, the interval starts.
    pub(in crate::transport) fn is_news(&self) -> bool {
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_news = said.is_none_or(|at| at.elapsed() >= LOG_INTERVAL);
        if is_news {
            *said = Some(Instant::now());
        }
        is_news
    }
}

impl<K> Default for Quota<K> {
    fn default() -> Self {
        Self {
            held: Mutex::default(),
            news: LogThrottle::default(),
        }
    }
}

/// Permit of a [`Quota`], held until dropped.
#[derive(Debug)]
pub(in crate::transport) struct Permit<K: Copy + Eq + Hash> {
    counts: Arc<Quota<K>>,
    key: K,
}

impl<K: Copy + Eq + Hash> Quota<K> {
    /// A permit for `key`, unless `limit` are held already.
    pub(in crate::transport) fn enter(self: &Arc<Self>, key: K, limit: usize) -> Option<Permit<K>> {
        let mut held = self.held();
        let count = held.get(&key).copied().unwrap_or(0);
        if count as usize >= limit {
            return None;
        }
        held.insert(key, count + 1);
        drop(held);
        let counts = Arc::clone(self);
        Some(Permit { counts, key })
    }

    /// Whether to log a reached limit now.
    pub(in crate::transport) fn is_news(&self) -> bool {
        self.news.is_news()
    }

    fn held(&self) -> MutexGuard<'_, HashMap<K, u32>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Copy + Eq + Hash> Permit<K> {
    pub(in crate::transport) fn key(&self) -> K {
        self.key
    }
}

impl<K: Copy + Eq + Hash> Drop for Permit<K> {
    fn drop(&mut self) {
        if let Entry::Occupied(mut count) = self.counts.held().entry(self.key) {
            match count.get() {
                ..=1 => drop(count.remove()),
                _ => *count.get_mut() -= 1,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[test]
    fn who_leaves_makes_room_and_leaves_nothing_behind() {
        let counts = Arc::new(Quota::default());
        let first = counts.enter('a', 2).unwrap();
        let second = counts.enter('a', 2).unwrap();
        assert!(counts.enter('a', 2).is_none());
        let other = counts.enter('b', 2).unwrap();
        drop(first);
        let third = counts.enter('a', 2).unwrap();
        assert!(counts.enter('a', 2).is_none());
        drop((second, third, other));
        assert!(counts.held().is_empty());
    }

    /// For each way in which a connection ends.
    #[tokio::test]
    async fn who_panics_or_is_given_up_leaves_nothing_behind() {
        let counts = Arc::new(Quota::default());
        let (panics, waits) = (counts.enter('a', 2), counts.enter('a', 2));
        let panicked = tokio::spawn(async move {
            let _held = panics.unwrap();
            panic!("what a connection may do");
        });
        assert!(panicked.await.unwrap_err().is_panic());
        assert_eq!(counts.held()[&'a'], 1);
        let given_up = tokio::spawn(async move {
            let _held = waits.unwrap();
            std::future::pending::<()>().await
        });
        given_up.abort();
        assert!(given_up.await.unwrap_err().is_cancelled());
        assert!(counts.held().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_limit_is_worth_a_word_a_minute() {
        let counts = Quota::<char>::default();
        assert!(counts.is_news());
        advance(LOG_INTERVAL - Duration::from_millis(1)).await;
        assert!(!counts.is_news());
        advance(Duration::from_millis(1)).await;
        assert!(counts.is_news());
    }
}
