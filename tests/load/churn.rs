//! Fifty clients continuously join and leave one channel, and each receives the
//! notifications after its `ready`. `CHURN_SECONDS` sets the duration.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::Instant;

use crate::{
    MACHINE,
    support::{Database, TestGateway, Wire, environment},
};

const CLIENTS: usize = 50;

/// Most notifications of other clients that a client receives before its own.
const OTHERS: usize = 10_000;

fn time() -> Duration {
    let given = environment("CHURN_SECONDS").map(|text| text.parse().unwrap());
    Duration::from_secs(given.unwrap_or(10))
}

/// Joins, notifies and leaves until `end`; returns the number of rounds.
async fn come_and_go(
    gateway: &TestGateway,
    database: &Database,
    client: usize,
    end: Instant,
) -> u32 {
    let wires = Wire::ALL.iter().cycle().skip(client);
    let mut times = 0;
    for wire in wires {
        if Instant::now() >= end {
            break;
        }
        let mut reader = gateway.reader(*wire, "churn").await;
        let own = format!("{client} {times}");
        database.notify("churn", &own).await;
        let mut heard = 0;
        while reader.event().await.1 != own {
            heard += 1;
            assert!(heard < OTHERS, "{wire:?} did not hear {own}");
        }
        times += 1;
    }
    times
}

async fn churn(clients: usize, time: Duration) -> u32 {
    let database = Database::new().await;
    // Given up as soon as the last reader leaves, so that LISTEN and UNLISTEN
    // race.
    let gateway = TestGateway::with(&database, &[("linger", "0s")]).await;
    let end = Instant::now() + time;
    let all = (0..clients).map(|n| come_and_go(&gateway, &database, n, end));
    join_all(all).await.iter().sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_into_a_crowd_misses_nothing() {
    let _alone = MACHINE.lock().await;
    let time = time();
    let times = churn(CLIENTS, time).await;
    println!("{CLIENTS} clients came {times} times in {time:?}: none missed its event");
    assert!(times as usize > 2 * CLIENTS);
}

/// A few clients, so that the channel is repeatedly given up and listened to
/// again.
#[tokio::test(flavor = "multi_thread")]
async fn who_comes_as_the_last_one_leaves_misses_nothing() {
    let _alone = MACHINE.lock().await;
    let time = time() / 2;
    let times = churn(2, time).await;
    println!("2 clients came {times} times in {time:?}: none missed its event");
    assert!(times > 20);
}
