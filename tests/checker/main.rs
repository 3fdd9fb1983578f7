//! The product's promise, literally: readers on every wire keep a cache by the
//! contract's rules while a writer changes the table and faults come at
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

/// One reader with a cache.
mod cache;
#[path = "../support/mod.rs"]
#[allow(
    dead_code,
    unused_imports,
    reason = "shared by all test binaries; each uses a part"
)]
mod support;
/// The table, its writer, the gateway, and what happens to them.
mod world;

use std::time::Duration;

use cache::Cache;
use fastrand::Rng;
use support::{Wire, environment, until};
use world::World;

const DEFAULT_SECONDS: u64 = 15;

fn number(name: &str) -> Option<u64> {
    environment(name).map(|text| text.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn no_cache_is_stale_whatever_happens() {
    let seed = number("CHECKER_SEED").unwrap_or_else(|| fastrand::u64(..));
    let seconds = number("CHECKER_SECONDS").unwrap_or(DEFAULT_SECONDS);
    println!("CHECKER_SEED={seed} CHECKER_SECONDS={seconds}");
    let mut rng = Rng::with_seed(seed);
    let mut world = World::new().await;
    let readers = Wire::ALL.into_iter().flat_map(|wire| [wire; 2]);
    let caches: Vec<_> = readers
        .map(|wire| Cache::spawn(wire, world.view(), rng.fork()))
        .collect();
    let faults = world.suffer(Duration::from_secs(seconds), &mut rng).await;
    world.settle().await;
    let table = world.table().await;
    for cache in &caches {
        let what = format!("{:?} agrees with the table (seed {seed})", cache.wire);
        until(&what, || async { cache.agrees_with(&table) }).await;
    }
    let told: Vec<_> = caches.iter().map(Cache::told).collect();
    println!("faults {faults:?}\n(events, gaps, connections) {told:?}");
    for (cache, (events, gaps, _)) in caches.iter().zip(&told) {
        assert!(*events > 0, "{:?} proves nothing", cache.wire);
        let bound = 2 * faults.values().sum::<u32>();
        assert!(*gaps <= bound, "{:?}: {gaps} gaps", cache.wire);
    }
    let connections: u32 = told.iter().map(|(.., connections)| connections).sum();
    assert!(
        connections > 2 * u32::try_from(caches.len()).unwrap(),
        "nobody came back"
    );
}
