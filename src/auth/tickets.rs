//! One-time tickets, for clients that can send neither a header nor a cookie: a
//! browser's `EventSource` sends only a URL, and URLs are logged.

use std::{
    collections::{HashMap, VecDeque, hash_map::Entry},
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use ring::{
    digest::{SHA256, digest},
    rand::{SecureRandom, SystemRandom},
};
use tokio::time::Instant;

use super::{grant::Grant, subject::Subject};

/// Lifetime of a ticket: until the next request of the same page.
pub(super) const LIFETIME: Duration = Duration::from_secs(30);

/// Maximum number of tickets at one time: 136 new clients a second. At the limit a new
/// one replaces the oldest of the subject with the most tickets, if that has more than
/// the new ticket's subject. Each is at most 12 KiB, including its patterns.
const MAX_TICKETS: usize = 4096;

/// Maximum for one subject, and for all clients without one together: an eighth, so
/// that a single client cannot take the tickets of others.
const MAX_OF_ONE: usize = MAX_TICKETS / 8;

const RANDOM_BYTES: usize = 32;

/// A ticket in the form sent to clients. `Debug` shows nothing of it.
pub struct Ticket(String);

impl Ticket {
    /// The text for the client.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ticket(…)")
    }
}

/// The error of issuing a ticket at the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many tickets are waiting to be used")]
pub struct TooManyTickets;

/// Issued tickets, stored by hash: the time of a lookup reveals nothing about a ticket.
#[derive(Debug, Default)]
pub(super) struct Tickets(Mutex<Held>);

#[derive(Debug, Default)]
struct Held {
    grants: HashMap<[u8; 32], Arc<Grant>>,
    /// In order of age, oldest first, including used ones.
    by_age: VecDeque<Issued>,
    /// Number of tickets of each subject.
    of_subjects: HashMap<Option<Subject>, usize>,
}

#[derive(Debug)]
struct Issued {
    at: Instant,
    hash: [u8; 32],
    to: Option<Subject>,
}

impl Tickets {
    pub(super) fn issue(&self, grant: Arc<Grant>) -> Result<Ticket, TooManyTickets> {
        let mut random = [0; RANDOM_BYTES];
        // Without randomness tickets could be guessed.
        SystemRandom::new()
            .fill(&mut random)
            .map_err(|_| TooManyTickets)?;
        let ticket = Ticket(random.iter().map(|byte| format!("{byte:02x}")).collect());
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.forget_the_old();
        let to = grant.subject();
        let of_subject = held.of_subjects.get(&to).copied().unwrap_or(0);
        if of_subject >= MAX_OF_ONE {
            return Err(TooManyTickets);
        }
        if held.by_age.len() >= MAX_TICKETS {
            held.take_from_the_richest(of_subject)?;
        }
        let (at, hash) = (Instant::now(), hash(ticket.as_str()));
        held.grants.insert(hash, grant);
        held.of_subjects.insert(to, of_subject + 1);
        held.by_age.push_back(Issued { at, hash, to });
        Ok(ticket)
    }

    /// Redeems a ticket, once.
    pub(super) fn redeem(&self, ticket: &str) -> Option<Arc<Grant>> {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.forget_the_old();
        held.grants.remove(&hash(ticket))
    }
}

impl Held {
    fn forget_the_old(&mut self) {
        let is_old = |issued: &Issued| issued.at.elapsed() >= LIFETIME;
        while self.by_age.front().is_some_and(is_old)
            && let Some(old) = self.by_age.pop_front()
        {
            self.forget(&old);
        }
    }

    /// Makes room for a subject with `few` tickets, by removing one of the subject with
    /// the most, which keeps no fewer than the other. Scans all tickets, in some
    /// microseconds.
    fn take_from_the_richest(&mut self, few: usize) -> Result<(), TooManyTickets> {
        let most = self.of_subjects.iter().max_by_key(|(_, count)| **count);
        let richest = most.filter(|(_, count)| **count > few + 1);
        let richest = richest.map(|(subject, _)| *subject);
        let oldest = richest.and_then(|richest| {
            let is_its = |issued: &Issued| issued.to == richest;
            let at = self.by_age.iter().position(is_its)?;
            self.by_age.remove(at)
        });
        self.forget(&oldest.ok_or(TooManyTickets)?);
        Ok(())
    }

    /// Removes a ticket that has left the queue.
    fn forget(&mut self, issued: &Issued) {
        self.grants.remove(&issued.hash);
        if let Entry::Occupied(mut count) = self.of_subjects.entry(issued.to) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
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

    /// The grant of one of several clients.
    fn of(client: u32) -> Arc<Grant> {
        let subject = Subject::named(None, &client.into());
        let grant = Grant::open(Patterns::all(), false);
        Arc::new(grant.of_subject(subject))
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
        for _ in 2..MAX_OF_ONE {
            tickets.issue(grant()).unwrap();
        }
        assert_eq!(tickets.issue(grant()).unwrap_err(), TooManyTickets);
        for client in 1..8 {
            for _ in 0..MAX_OF_ONE {
                tickets.issue(of(client)).unwrap();
            }
            assert_eq!(tickets.issue(of(client)).unwrap_err(), TooManyTickets);
        }
        assert_eq!(tickets.0.lock().unwrap().by_age.len(), MAX_TICKETS);
        advance(LIFETIME).await;
        assert!(tickets.issue(grant()).is_ok() && tickets.issue(of(8)).is_ok());
        assert_eq!(tickets.0.lock().unwrap().of_subjects.len(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_few_takes_the_place_of_who_has_most() {
        let tickets = Tickets::default();
        for client in 0..8 {
            while tickets.issue(of(client)).is_ok() {}
        }
        // A ninth subject ends up with as many as the others, and no more.
        let mut of_ninth = Vec::new();
        while let Ok(ticket) = tickets.issue(of(9)) {
            of_ninth.push(ticket);
        }
        assert_eq!(of_ninth.len(), MAX_TICKETS / 9);
        for ticket in of_ninth {
            assert!(tickets.redeem(ticket.as_str()).is_some());
        }
        let held = tickets.0.lock().unwrap();
        assert_eq!(held.by_age.len(), MAX_TICKETS);
        assert_eq!(held.of_subjects.values().sum::<usize>(), MAX_TICKETS);
        assert!(held.grants.len() <= MAX_TICKETS);
    }

    /// Each subject has one ticket, so none has more than another.
    #[tokio::test(start_paused = true)]
    async fn where_all_have_as_few_the_next_is_refused() {
        let tickets = Tickets::default();
        for client in 0..MAX_TICKETS as u32 {
            tickets.issue(of(client)).unwrap();
        }
        let next = tickets.issue(of(u32::MAX));
        assert_eq!(next.unwrap_err(), TooManyTickets);
    }
}
