//! State shared by all clients: the ledger, the findings and the counters.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::sync::watch;

use super::{ledger::Ledger, position::Violation, stream::Wire};

/// The self-check loses one delivery in 20,000 on purpose: 5 in 100,000.
const ONE_OF: u64 = 20_000;

/// A violation, and how it came about.
#[derive(Debug)]
pub struct Finding {
    pub client: usize,
    pub violation: Violation,
    /// The client's last requests and messages.
    pub trace: VecDeque<String>,
}

/// Counters by transport.
#[derive(Debug, Default, Clone)]
pub struct Tally {
    pub visits: u64,
    pub events: u64,
    pub resumes: u64,
    pub gaps: BTreeMap<String, u64>,
    pub ends: BTreeMap<String, u64>,
}

pub struct Shared {
    ledger: Mutex<Ledger>,
    findings: Mutex<Vec<Finding>>,
    tallies: Mutex<BTreeMap<Wire, Tally>>,
    /// Whether nothing more is written.
    is_over: watch::Sender<bool>,
    /// Whether deliveries are lost on purpose, and which: client and note.
    is_lossy: bool,
    deliveries: AtomicU64,
    lost: Mutex<Vec<(usize, u64)>>,
}

impl Shared {
    pub fn new(is_lossy: bool) -> Self {
        Self {
            ledger: Mutex::default(),
            findings: Mutex::default(),
            tallies: Mutex::default(),
            is_over: watch::channel(false).0,
            is_lossy,
            deliveries: AtomicU64::new(0),
            lost: Mutex::default(),
        }
    }

    pub fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap()
    }

    pub fn end(&self) {
        self.is_over.send_replace(true);
    }

    pub fn is_over(&self) -> bool {
        *self.is_over.borrow()
    }

    /// Returns when nothing more is written.
    pub async fn over(&self) {
        let mut is_over = self.is_over.subscribe();
        let _ = is_over.wait_for(|is_over| *is_over).await;
    }

    pub fn found(&self, client: usize, violation: Violation, trace: VecDeque<String>) {
        let finding = Finding {
            client,
            violation,
            trace,
        };
        self.findings.lock().unwrap().push(finding);
    }

    pub fn findings(&self) -> MutexGuard<'_, Vec<Finding>> {
        self.findings.lock().unwrap()
    }

    pub fn count(&self, wire: Wire, count: impl FnOnce(&mut Tally)) {
        count(self.tallies.lock().unwrap().entry(wire).or_default());
    }

    pub fn tallies(&self) -> BTreeMap<Wire, Tally> {
        self.tallies.lock().unwrap().clone()
    }

    /// Whether this delivery is to be kept from the judge.
    pub fn loses(&self, client: usize, payload: &str) -> bool {
        let number = self.deliveries.fetch_add(1, Ordering::Relaxed) + 1;
        let is_lost = self.is_lossy && number % ONE_OF == ONE_OF / 2;
        if is_lost {
            let note = payload.split(' ').next().and_then(|note| note.parse().ok());
            let lost = (client, note.expect("a note begins with its number"));
            self.lost.lock().unwrap().push(lost);
        }
        is_lost
    }

    pub fn deliveries(&self) -> u64 {
        self.deliveries.load(Ordering::Relaxed)
    }

    pub fn lost(&self) -> Vec<(usize, u64)> {
        self.lost.lock().unwrap().clone()
    }
}
