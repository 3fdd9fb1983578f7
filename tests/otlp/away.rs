use std::time::Duration;

use tokio::{net::TcpListener, time::Instant};

use crate::{
    collector::{Answer, Collector},
    dropped, exported, sample,
    support::{Database, Reader, TestGateway, Wire, until},
    traced,
};

/// Of the queue, of the one batch under way.
const KEPT: f64 = 2048.0 + 512.0;

async fn exporting_to(database: &Database, url: &str) -> (TestGateway, Reader) {
    let settings = [("otlp-endpoint", url), ("drain-timeout", "4s")];
    let gateway = TestGateway::with(database, &settings).await;
    let reader = gateway.reader(Wire::WebSocket, "a").await;
    (gateway, reader)
}

/// One transaction of `count` traced notifications, all of which arrive.
async fn burst(database: &Database, reader: &mut Reader, count: i32) {
    let sql = "SELECT pg_notify('a', format('{\"n\": %s, \"traceparent\": \
               \"00-%s-00000000000000ff-01\"}', n, lpad(to_hex(n + 1), 32, '0'))) \
               FROM generate_series(0, $1::int - 1) AS n";
    database.client.query(sql, &[&count]).await.unwrap();
    let payloads = reader.payloads(count as usize).await;
    let last = format!("{{\"n\": {}, ", count - 1);
    assert!(payloads.last().unwrap().starts_with(&last));
}

/// Events flow, what waits has a limit, and what is over it is counted.
async fn is_no_burden(gateway: TestGateway, mut reader: Reader, database: &Database) {
    for _ in 0..8 {
        burst(database, &mut reader, 1000).await;
    }
    assert_eq!(exported(&gateway).await, 0.0);
    until("what is over the limit is counted", || async {
        dropped(&gateway).await >= 8000.0 - KEPT
    })
    .await;
    assert_eq!(
        sample(&gateway, "pgfan_gaps_total{reason=\"slow_reader\"}").await,
        0.0
    );
    let began = Instant::now();
    gateway.stop().await;
    // The drain time, and what a busy machine adds.
    assert!(
        began.elapsed() < Duration::from_secs(6),
        "{:?}",
        began.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_collector_is_no_burden() {
    let database = Database::new().await;
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", nobody.local_addr().unwrap());
    drop(nobody);
    let (gateway, reader) = exporting_to(&database, &url).await;
    is_no_burden(gateway, reader, &database).await;
}

/// The kernel takes its connections, and nobody reads them.
#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_collector_is_no_burden() {
    let database = Database::new().await;
    let frozen = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", frozen.local_addr().unwrap());
    let (gateway, reader) = exporting_to(&database, &url).await;
    is_no_burden(gateway, reader, &database).await;
}

/// It reads, and does not answer.
#[tokio::test(flavor = "multi_thread")]
async fn a_silent_collector_is_no_burden() {
    let database = Database::new().await;
    let collector = Collector::that(Answer::Never).await;
    let (gateway, reader) = exporting_to(&database, &collector.url()).await;
    is_no_burden(gateway, reader, &database).await;
    assert!(collector.asked() > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_collector_gets_what_was_kept() {
    let database = Database::new().await;
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = nobody.local_addr().unwrap();
    drop(nobody);
    let (gateway, mut reader) = exporting_to(&database, &format!("http://{address}")).await;
    burst(&database, &mut reader, 1000).await;
    let collector = Collector::at(address).await;
    assert_eq!(collector.first(1000).await.len(), 1000);
    database.notify("a", &traced(0)).await;
    collector.first(1001).await;
    until("they are counted", || async {
        exported(&gateway).await == 1001.0
    })
    .await;
    assert_eq!(dropped(&gateway).await, 0.0);
}

/// Its word is the last: the spans are dropped, and counted.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_collector_refuses_is_not_tried_again() {
    let database = Database::new().await;
    let refused = Answer::Refused(tonic::Code::InvalidArgument);
    let collector = Collector::that(refused).await;
    let (gateway, mut reader) = exporting_to(&database, &collector.url()).await;
    burst(&database, &mut reader, 100).await;
    until("they are dropped", || async {
        dropped(&gateway).await == 100.0
    })
    .await;
    gateway.stop().await;
    assert!(
        (1..=2).contains(&collector.asked()),
        "{}",
        collector.asked()
    );
}
