//! A bounded set of recent tokens, kept as keyed hashes. The key is random, so that
//! an attacker cannot construct tokens with the same hash.

use std::{
    collections::HashMap,
    mem,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use ring::{hmac, rand::SystemRandom};
use tokio::time::Instant;

type Hash = [u8; 16];

/// The set. At its limit the older half is dropped.
pub(super) struct Recent {
    /// `None` if the system gives no random numbers: then the set stays empty.
    key: Option<hmac::Key>,
    lifetime: Duration,
    most: usize,
    held: Mutex<Halves>,
}

/// The time of each entry. Entries are added to `young`; when that is full, it
/// replaces `old`.
#[derive(Default)]
struct Halves {
    young: HashMap<Hash, Instant>,
    old: HashMap<Hash, Instant>,
}

impl std::fmt::Debug for Recent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Recent(…)")
    }
}

impl Recent {
    /// At most `most` entries, each valid for `lifetime`.
    pub(super) fn new(most: usize, lifetime: Duration) -> Self {
        Self {
            key: hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new()).ok(),
            lifetime,
            most,
            held: Mutex::default(),
        }
    }

    /// Whether the token was kept under the same version.
    pub(super) fn holds(&self, token: &str, version: u64) -> bool {
        let Some(hash) = self.hash(token, version) else {
            return false;
        };
        let held = self.held();
        let seen = held.young.get(&hash).or_else(|| held.old.get(&hash));
        seen.is_some_and(|seen| seen.elapsed() < self.lifetime)
    }

    pub(super) fn keep(&self, token: &str, version: u64) {
        let Some(hash) = self.hash(token, version) else {
            return;
        };
        let mut held = self.held();
        if held.young.len() >= self.most / 2 {
            held.old = mem::take(&mut held.young);
        }
        held.young.insert(hash, Instant::now());
    }

    fn hash(&self, token: &str, version: u64) -> Option<Hash> {
        let mut context = hmac::Context::with_key(self.key.as_ref()?);
        context.update(&version.to_be_bytes());
        context.update(token.as_bytes());
        let mut half = [0; 16];
        half.copy_from_slice(&context.sign().as_ref()[..16]);
        Some(half)
    }

    fn held(&self) -> MutexGuard<'_, Halves> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const SECONDS: Duration = Duration::from_secs(10);

    #[tokio::test(start_paused = true)]
    async fn a_token_is_known_for_its_time_and_its_version() {
        let recent = Recent::new(8, SECONDS);
        assert!(!recent.holds("a", 0));
        recent.keep("a", 0);
        assert!(recent.holds("a", 0));
        assert!(!recent.holds("a", 1) && !recent.holds("b", 0));
        advance(SECONDS - Duration::from_millis(1)).await;
        assert!(recent.holds("a", 0));
        advance(Duration::from_millis(1)).await;
        assert!(!recent.holds("a", 0));
    }

    #[tokio::test(start_paused = true)]
    async fn they_are_bounded_and_the_older_ones_are_forgotten() {
        let recent = Recent::new(8, SECONDS);
        for n in 0..1000 {
            recent.keep(&n.to_string(), 0);
            let held = recent.held();
            assert!(held.young.len() + held.old.len() <= 8);
        }
        for (n, is_held) in [(999, true), (996, true), (990, false)] {
            assert_eq!(recent.holds(&n.to_string(), 0), is_held, "{n}");
        }
    }
}
