//! Stress test: fifty readers on all transports subscribe, leave and resume under
//! faults, and every delivery is judged by the contract.
//!
//! `STRESS_SEED` repeats the faults and requests of an earlier run, `STRESS_SECONDS`
//! sets its length; `make soak` runs it for half an hour.

/// Readers that change transports, gateways and channels.
mod client;
/// The rules of the contract.
mod judge;
/// Unit tests of the judge.
mod judge_tests;
/// The notes, and their transactions.
mod ledger;
/// Cursors, and positions of a stream.
mod position;
/// Findings and counters.
mod shared;
/// The transports.
mod stream;
/// One connection of a client.
mod visit;
/// Gateways, server, writer and faults.
mod world;

use std::{sync::Arc, time::Duration};

use fastrand::Rng;
use tokio::{task::JoinSet, time::Instant};

use client::Client;
use position::Violation;
use shared::Shared;
use stream::Wire;
use world::{World, write};

use crate::{MACHINE, support::environment};

const CLIENTS: usize = 50;
const DEFAULT_SECONDS: u64 = 12;

/// The self-check goes on until a loss is found, and no longer than this.
const SELF_CHECK: Duration = Duration::from_secs(120);

/// Written after the last fault, so that no loss is hidden by its gap.
const CALM: Duration = Duration::from_secs(1);

fn number(name: &str) -> Option<u64> {
    environment(name).map(|text| text.parse().unwrap())
}

/// Returns after all readers have everything, or something was found.
async fn run(shared: &Arc<Shared>, time: Duration) {
    let seed = number("STRESS_SEED").unwrap_or_else(|| fastrand::u64(..));
    println!("STRESS_SEED={seed} STRESS_SECONDS={}", time.as_secs());
    let mut rng = Rng::with_seed(seed);
    let world = World::new().await;
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        clients.spawn(Client::new(number, shared, &world.endpoints, rng.fork()).run());
    }
    let begin = Instant::now();
    let (mut faults, mut notes) = (rng.fork(), rng.fork());
    let url = world.url();
    let (counts, ()) = tokio::join!(
        world.run_faults(shared, &mut faults, begin + time),
        write(shared, &url, &mut notes, begin + time + CALM),
    );
    shared.end();
    while shared.findings().is_empty()
        && let Some(ended) = clients.join_next().await
    {
        ended.unwrap();
    }
    clients.shutdown().await;
    print(shared);
    println!("faults {counts:?}, {:.1?}", begin.elapsed());
}

fn print(shared: &Shared) {
    for (wire, tally) in shared.tallies() {
        println!(
            "{wire:?}: {} visits, {} events, {} resumes, gaps {:?}, ends {:?}",
            tally.visits, tally.events, tally.resumes, tally.gaps, tally.ends
        );
    }
    let (deliveries, notes) = (shared.deliveries(), shared.ledger().end());
    println!("{notes} notes, {deliveries} deliveries judged");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_delivery_is_right_whatever_happens() {
    let _alone = MACHINE.lock().await;
    let seconds = number("STRESS_SECONDS").unwrap_or(DEFAULT_SECONDS);
    let shared = Arc::new(Shared::new(false));
    run(&shared, Duration::from_secs(seconds)).await;
    for finding in shared.findings().iter() {
        println!("client {}: {:?}", finding.client, finding.violation);
        for line in &finding.trace {
            println!("    {line}");
        }
    }
    assert!(shared.findings().is_empty());
    let tallies = shared.tallies();
    for wire in Wire::ALL {
        let tally = tallies.get(&wire).cloned().unwrap_or_default();
        assert!(tally.events > 0, "{wire:?} proves nothing");
        let resumes = wire == Wire::PgCacheWatch || tally.resumes > 0;
        assert!(resumes, "{wire:?} never resumed");
    }
}

/// Self-check: the judge is not shown 5 deliveries in 100,000, and reports one of
/// these as missing, and nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn five_losses_in_a_hundred_thousand_are_found() {
    let _alone = MACHINE.lock().await;
    let shared = Arc::new(Shared::new(true));
    run(&shared, SELF_CHECK).await;
    let lost = shared.lost();
    let findings = shared.findings();
    assert!(!findings.is_empty(), "{} were lost, none found", lost.len());
    for finding in findings.iter() {
        let (client, violation) = (finding.client, &finding.violation);
        let is_lost = |note: &u64| lost.contains(&(client, *note));
        let is_true = matches!(violation, Violation::Missing(note) if is_lost(note));
        assert!(is_true, "{violation:?}, of {lost:?}: {:#?}", finding.trace);
    }
    println!("found {:?} of {lost:?}", findings[0].violation);
}
