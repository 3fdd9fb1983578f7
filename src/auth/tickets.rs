//! One-time tickets, for clients that can set neither a header nor a cookie:
//! a browser's `EventSource` has nothing but its URL, and URLs are logged.

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use ring::{
    digest::{SHA256, digest},
    rand::{SecureRandom, SystemRandom},
};
use tokio::time::Instant;

use super::grant::Grant;

/// From the answer to the next request of the same page.
pub(super) const LIFETIME: Duration = Duration::from_secs(30);

/// At one time: 136 new readers a second. At the limit there is none for the
/// next until the oldest are over. Each is at most 12 KiB, with its patterns.
const MAX_TICKETS: usize = 4096;

const RANDOM_BYTES: usize = 32;

/// As a client has it. Printing it shows nothing.
pub struct Ticket(String);

impl Ticket {
    /// For the client that asked.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ticket(…)")
    }
}

/// There are as many as may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many tickets are waiting to be used")]
pub struct TooManyTickets;

/// By their hashes: how long a look takes tells nothing about a ticket.
#[derive(Debug, Default)]
pub(super) struct Tickets(Mutex<Held>);

#[derive(Debug, Default)]
struct Held {
    grants: HashMap<[u8; 32], Arc<Grant>>,
    /// The oldest first, those that were used too.
    by_age: VecDeque<(Instant, [u8; 32])>,
}

impl Tickets {
    pub(super) fn issue(&self, grant: Arc<Grant>) -> Result<Ticket, TooManyTickets> {
        let mut random = [0; RANDOM_BYTES];
        // Without randomness no ticket could be trusted.
        SystemRandom::new()
            .fill(&mut random)
            .map_err(|_| TooManyTickets)?;
        let ticket = Ticket(random.iter().map(|byte| format!("{byte:02x}")).collect());
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.forget_the_old();
        if held.by_age.len() >= MAX_TICKETS {
            return Err(TooManyTickets);
        }
        let hash = hash(ticket.as_str());
        held.grants.insert(hash, grant);
        held.by_age.push_back((Instant::now(), hash));
        Ok(ticket)
    }

    /// Once.
    pub(super) fn redeem(&self, ticket: &str) -> Option<Arc<Grant>> {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.forget_the_old();
        held.grants.remove(&hash(ticket))
    }
}

impl Held {
    fn forget_the_old(&mut self) {
        while let Some((since, hash)) = self.by_age.front()
            && since.elapsed() >= LIFETIME
        {
            self.grants.remove(hash);
            self.by_age.pop_front();
        }
    }
}

fn hash(ticket: &str) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, ticket.as_bytes()).as_ref());
    hash
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;
    use crate::auth::Patterns;

    fn grant() -> Arc<Grant> {
        Arc::new(Grant::open(Patterns::all(), false))
    }

    #[tokio::test(start_paused = true)]
    async fn a_ticket_is_good_once_and_for_half_a_minute() {
        let tickets = Tickets::default();
        let one = tickets.issue(grant()).unwrap();
        assert_eq!(tickets.redeem(one.as_str()), Some(grant()));
        assert_eq!(tickets.redeem(one.as_str()), None);
        let two = tickets.issue(grant()).unwrap();
        advance(Duration::from_millis(29_999)).await;
        let three = tickets.issue(grant()).unwrap();
        assert_eq!(tickets.redeem(two.as_str()), Some(grant()));
        advance(LIFETIME).await;
        assert_eq!(tickets.redeem(three.as_str()), None);
        assert_eq!(tickets.redeem(""), None);
    }

    #[tokio::test(start_paused = true)]
    async fn they_differ_show_nothing_and_are_bounded() {
        let tickets = Tickets::default();
        let (one, two) = (
            tickets.issue(grant()).unwrap(),
            tickets.issue(grant()).unwrap(),
        );
        assert_ne!(one.as_str(), two.as_str());
        assert_eq!(one.as_str().len(), 2 * RANDOM_BYTES);
        assert!(!format!("{one:?} {tickets:?}").contains(one.as_str()));
        for _ in 2..MAX_TICKETS {
            tickets.issue(grant()).unwrap();
        }
        assert_eq!(tickets.issue(grant()).unwrap_err(), TooManyTickets);
        advance(LIFETIME).await;
        assert!(tickets.issue(grant()).is_ok());
    }
}
