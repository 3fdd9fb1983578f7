//! The product's promise, literally: readers on every transport keep a cache by
//! the contract's rules while a writer changes the table and faults occur at
//! random. Then the writer stops, and every cached value is the table's.
//!
//! `CHECKER_SEED` replays a run's faults, `CHECKER_SECONDS` sets its length;
//! `make soak` is a long one.

#![allow(
    clippy::unwrap_used,
    missing_docs,
    unreachable_pub,
    reason = "a test binary has no public face, and fails by panicking"
)]

#[path = "../support/mod.rs"]
#[allow(
    dead_code,
    unused_imports,
    reason = "shared by all test binaries; each uses a part"
)]
mod support;

/// The table, and its writer.
mod application;
/// The original distributor, which does lose events.
mod baseline;
/// The cache.
mod cache;
/// Readers that join and leave.
mod churn;
/// Faults of all components.
mod faults;
/// A reader with a cache.
mod keeper;
/// Printed report, and the final checks.
mod report;
/// Rounds of faults and calm.
mod run;
/// Whether every cache agrees with the table.
mod settled;
/// The gateway, its server, and the links around it.
mod world;

use std::time::Duration;

use run::Run;
use support::environment;

const DEFAULT_SECONDS: u64 = 15;

/// Time limit after the last change until every cache is correct.
const SETTLED: Duration = Duration::from_secs(10);

/// In a longer run the last gateway process runs for two thirds of it.
const SHORT_SECONDS: u64 = 60;

fn number(name: &str) -> Option<u64> {
    environment(name).map(|text| text.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn no_cache_is_stale_whatever_happens() {
    let seed = number("CHECKER_SEED").unwrap_or_else(|| fastrand::u64(..));
    let seconds = number("CHECKER_SECONDS").unwrap_or(DEFAULT_SECONDS);
    println!("CHECKER_SEED={seed} CHECKER_SECONDS={seconds}");
    let mut run = Run::begin(seed).await;
    let passed = |run: &Run| run.begin.elapsed().as_secs();
    while passed(&run) < seconds {
        let is_lasting = seconds > SHORT_SECONDS && passed(&run) > seconds / 3;
        run.round(is_lasting).await;
    }
    run.print();
    run.check();
}
