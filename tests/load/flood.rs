//! 20,000 notifications of 7.9 KB, 1,000 a second, while one reader on each
//! wire never reads: the others and the database do not notice.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::{
    select,
    time::{Instant, MissedTickBehavior, interval},
};

use crate::{
    MACHINE,
    support::{
        Database, Reader, Wire, gateway_process::GatewayProcess, grpc_client, stuck_sse,
        stuck_web_socket,
    },
};

const EVENTS: i32 = 20_000;
const A_SECOND: u64 = 1000;

/// Notified in one statement.
const TOGETHER: i32 = 10;

/// The contract's default for the hub's memory, and what else may grow.
const HISTORY: usize = 64 << 20;
const GROWTH: usize = 64 << 20;

/// 99 of 100 deliveries arrive within this time.
const P99: Duration = Duration::from_millis(250);

/// Nothing may fill the cluster's queue.
const MAX_QUEUE_USAGE: f64 = 0.01;

/// When each was notified, by this process's clock, in its payload.
async fn notify_all(database: &Database, begun: Instant) {
    let sql = "SELECT pg_notify('flood', $1::int + n || ' ' || $2::text || repeat('x', 7880)) \
               FROM generate_series(0, $3::int - 1) AS n";
    let period = Duration::from_secs(1) * TOGETHER.unsigned_abs() / A_SECOND as u32;
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    for first in (0..EVENTS).step_by(TOGETHER as usize) {
        ticks.tick().await;
        let at = format!("{} ", begun.elapsed().as_micros());
        let client = &database.client;
        client.query(sql, &[&first, &at, &TOGETHER]).await.unwrap();
    }
}

/// How long each took; that all came, and in order.
async fn hear_all(mut reader: Reader, begun: Instant) -> Vec<Duration> {
    let mut latencies = Vec::with_capacity(EVENTS as usize);
    for n in 0..EVENTS {
        let (_, payload) = reader.event().await;
        let mut words = payload.split(' ');
        assert_eq!(words.next().unwrap(), n.to_string());
        let at = Duration::from_micros(words.next().unwrap().parse().unwrap());
        latencies.push(begun.elapsed().saturating_sub(at));
    }
    latencies
}

/// The most memory of the gateway, and the fullest queue, until dropped.
async fn watch(gateway: &GatewayProcess, database: &Database, most: &mut (usize, f64)) {
    let mut ticks = interval(Duration::from_millis(100));
    loop {
        ticks.tick().await;
        let sql = "SELECT pg_notification_queue_usage()";
        let row = database.client.query_one(sql, &[]).await.unwrap();
        most.0 = most.0.max(gateway.resident());
        most.1 = most.1.max(row.get(0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_never_reads_holds_up_nobody() {
    let _alone = MACHINE.lock().await;
    let database = Database::new().await;
    let gateway = GatewayProcess::on(&database).await;
    let address = gateway.address;
    let stuck = [
        stuck_web_socket(address, "/v1/ws?channel=flood").await,
        stuck_sse(address, "/v1/sse?channel=flood").await,
        stuck_web_socket(address, "/pgpubsub/flood").await,
    ];
    let stuck_client = grpc_client(address).await;
    let mut stuck_stream = Reader::on_channel(&stuck_client, "flood");
    stuck_stream.ready().await;
    let mut readers = Vec::new();
    for wire in Wire::ALL {
        let mut reader = Reader::open(wire, address, &["flood"], None).await;
        reader.ready().await;
        readers.push(reader);
    }
    let before = gateway.resident();
    let begun = Instant::now();
    let hearing = join_all(readers.into_iter().map(|reader| hear_all(reader, begun)));
    let mut most = (before, 0.0);
    let observer = Database::at(database.url.clone()).await;
    let flood = async { tokio::join!(notify_all(&database, begun), hearing).1 };
    let latencies = select! {
        latencies = flood => latencies,
        () = watch(&gateway, &observer, &mut most) => unreachable!("it has no end"),
    };
    let grown = most.0 - before;
    for (wire, mut latencies) in Wire::ALL.into_iter().zip(latencies) {
        latencies.sort_unstable();
        let p99 = latencies[latencies.len() * 99 / 100];
        let (median, worst) = (
            latencies[latencies.len() / 2],
            latencies[latencies.len() - 1],
        );
        println!("{wire:?}: p50 {median:?}, p99 {p99:?}, worst {worst:?}");
        assert!(p99 < P99, "{wire:?}: {p99:?}");
    }
    println!(
        "grown by {} MiB, queue at {} at most, {:?}",
        grown >> 20,
        most.1,
        begun.elapsed()
    );
    assert!(grown < HISTORY + GROWTH, "{} MiB", grown >> 20);
    assert!(most.1 < MAX_QUEUE_USAGE, "{}", most.1);
    drop((stuck, stuck_stream));
    gateway.stop().await;
}
