//! Ten thousand channels in a few round trips over one session.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::Instant;

use crate::{
    support::{Database, Reader, Said, TestGateway, Wire},
    tap::{Seen, Tap},
};

const READERS: usize = 10;
const EACH: usize = 1000;

/// Upper limit of statements for many ListenRequests: those of one reader are
/// made one by one, and the first of them may be sent before the last is made.
const FEW: usize = 4 * READERS;

/// The channels of one reader: `c 0000` to `c 0999`, and so on.
fn names(reader: usize) -> Vec<String> {
    let first = reader * EACH;
    (first..first + EACH).map(|n| format!("c {n:04}")).collect()
}

async fn readers(gateway: &TestGateway) -> Vec<Reader> {
    let mut readers = Vec::new();
    for reader in 0..READERS {
        let names = names(reader);
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        readers.push(Reader::open(Wire::Grpc, gateway.address, &names, None).await);
    }
    join_all(readers.iter_mut().map(Reader::ready)).await;
    readers
}

/// Every fiftieth channel, all in one transaction.
async fn notify_sample(database: &Database) {
    let sql = "SELECT pg_notify('c ' || lpad(n::text, 4, '0'), n::text) \
               FROM generate_series(0, 9999, 50) AS n";
    database.client.batch_execute(sql).await.unwrap();
}

async fn hear_sample(readers: &mut [Reader]) {
    for (n, reader) in readers.iter_mut().enumerate() {
        let expected = (n * EACH..(n + 1) * EACH)
            .step_by(50)
            .map(|n| n.to_string());
        let heard = reader.payloads(EACH / 50).await;
        assert!(heard.into_iter().eq(expected), "reader {n}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_channels_take_a_few_round_trips() {
    let database = Database::new().await;
    let tap = Tap::on(&database.url).await;
    let settings = [
        ("max-channels-per-reader", "1000"),
        ("max-channels-per-client", "10000"),
        ("linger", "0s"),
    ];
    let gateway = TestGateway::starting(&tap.url, &settings);
    gateway.ready().await;
    tap.clear();

    let begun = Instant::now();
    let mut readers = readers(&gateway).await;
    assert!(begun.elapsed() < Duration::from_secs(5), "{begun:?}");
    assert_eq!(tap.seen().statements("LISTEN"), 10_000);
    let round_trips = tap.seen().count("LISTEN");
    assert!(round_trips <= FEW, "{round_trips} round trips");
    notify_sample(&database).await;
    hear_sample(&mut readers).await;

    // A new session repeats them all, with as few statements as possible.
    tap.clear();
    assert!(database.terminate().await > 0);
    for reader in &mut readers {
        assert_eq!(reader.said().await, Said::Interrupted);
        assert!(matches!(reader.said().await, Said::Gap { .. }));
        assert!(matches!(reader.said().await, Said::Live { .. }));
    }
    // Includes the private one of the heartbeat; on a busy machine a session
    // may be given up before it is proven, and the next one repeats them all.
    let sessions = tap.seen().statements("LISTEN") / 10_001;
    assert!((1..=3).contains(&sessions), "{sessions} sessions");
    assert_eq!(tap.seen().statements("LISTEN"), 10_001 * sessions);
    assert_eq!(tap.seen().count("LISTEN"), 11 * sessions);
    notify_sample(&database).await;
    hear_sample(&mut readers).await;

    leave(readers, &gateway, &tap, &database).await;
}

/// All but the first reader leave: their channels are given up after the linger
/// time, and the server no longer sends their notifications.
async fn leave(mut readers: Vec<Reader>, gateway: &TestGateway, tap: &Tap, database: &Database) {
    readers.truncate(1);
    let given_up = |seen: &Seen| seen.statements("UNLISTEN") == 9000;
    tap.until("9000 channels are given up", given_up).await;
    let round_trips = tap.seen().count("UNLISTEN");
    assert!(round_trips <= FEW, "{round_trips} round trips");
    // A later ListenRequest is answered after they have committed.
    let _later = gateway.reader(Wire::Sse, "later").await;
    tap.clear();
    notify_sample(database).await;
    database.notify("c 0001", "end").await;
    hear_sample(&mut readers).await;
    assert_eq!(readers[0].event().await.1, "end");
    let mut heard = tap.seen().notified.clone();
    heard.retain(|channel| !channel.starts_with("pgfan:"));
    assert_eq!(heard.len(), EACH / 50 + 1, "{heard:?}");
}
