use std::time::Duration;

use opentelemetry_proto::tonic::trace::v1::Span;
use tokio::{
    io::AsyncReadExt as _,
    net::{TcpListener, TcpStream},
    time::Instant,
};

use crate::{
    collector::{Answer, Collector, attribute},
    dropped, exported, sample,
    support::{Database, Reader, TestGateway, Wire, stuck_web_socket, until, within},
    traced,
};

/// Largest number of spans in the queue, and in the one batch in flight.
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

/// Events flow, waiting spans are limited, and those over the limit are counted.
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
    // The drain time, and the delay of a busy machine.
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

/// The kernel accepts its connections, and the process reads nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_collector_is_no_burden() {
    let database = Database::new().await;
    let frozen = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", frozen.local_addr().unwrap());
    let (gateway, reader) = exporting_to(&database, &url).await;
    is_no_burden(gateway, reader, &database).await;
}

/// It reads, but does not answer.
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

/// Reads HTTP/2 up to the first DATA frame, which belongs to a request.
async fn reads_a_request(connection: &mut TcpStream) {
    const PREFACE: usize = 24;
    const DATA: u8 = 0;
    let mut skipped = vec![0; PREFACE];
    loop {
        connection.read_exact(&mut skipped).await.unwrap();
        let mut head = [0; 9];
        connection.read_exact(&mut head).await.unwrap();
        let [a, b, c, kind, ..] = head;
        if kind == DATA {
            return;
        }
        skipped = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
    }
}

/// Like a restart: the connection ends without an answer, and without a gRPC status.
#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_ends_within_a_request_is_asked_again() {
    let database = Database::new().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (gateway, mut reader) = exporting_to(&database, &url).await;
    database.notify("a", &traced(0)).await;
    assert_eq!(reader.event().await.1, traced(0));
    let request = async {
        let (mut connection, _) = listener.accept().await.unwrap();
        reads_a_request(&mut connection).await;
    };
    within("a request arrives", request).await;
    let collector = Collector::with_listener(listener);
    assert_eq!(collector.first(1).await.len(), 1);
    assert_eq!(dropped(&gateway).await, 0.0);
}

/// The others are exported, and none is sent again.
#[tokio::test(flavor = "multi_thread")]
async fn spans_that_a_collector_rejects_are_counted_as_dropped() {
    let database = Database::new().await;
    let collector = Collector::that(Answer::OneRejected).await;
    let (gateway, mut reader) = exporting_to(&database, &collector.url()).await;
    burst(&database, &mut reader, 100).await;
    until("they are counted", || async {
        exported(&gateway).await + dropped(&gateway).await == 100.0
    })
    .await;
    assert_eq!(dropped(&gateway).await, collector.asked() as f64);
    assert_eq!(collector.spans().len(), 100);
}

/// Its refusal is final: the spans are dropped, and counted.
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

/// A gRPC server refuses it. Its spans are dropped, and the next ones are exported.
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_is_too_large_holds_up_no_other() {
    let database = Database::new().await;
    let collector = Collector::that(Answer::FirstExhausted(b"")).await;
    let (gateway, mut reader) = exporting_to(&database, &collector.url()).await;
    database.notify("a", &traced(0)).await;
    assert_eq!(reader.event().await.1, traced(0));
    until("it is dropped", || async { dropped(&gateway).await == 1.0 }).await;
    database.notify("a", &traced(1)).await;
    let spans = collector.first(1).await;
    assert_eq!((spans.len(), spans[0].trace_id[15]), (1, 2));
}

/// After the requested delay, which is longer than the back-off.
#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_has_too_much_for_now_is_asked_again() {
    let database = Database::new().await;
    // google.rpc.Status with code 8, and a RetryInfo of 1 s.
    let details =
        b"\x08\x08\x1a\x30\x0a\x28type.googleapis.com/google.rpc.RetryInfo\x12\x04\x0a\x02\x08\x01";
    let collector = Collector::that(Answer::FirstExhausted(details)).await;
    let (gateway, mut reader) = exporting_to(&database, &collector.url()).await;
    let began = Instant::now();
    database.notify("a", &traced(0)).await;
    assert_eq!(reader.event().await.1, traced(0));
    assert_eq!(collector.first(1).await.len(), 1);
    // One second for the batch, and one second that the collector requests.
    assert!(began.elapsed() >= Duration::from_secs(2));
    assert_eq!((collector.asked(), dropped(&gateway).await), (2, 0.0));
}

/// Only the spans of its own channel wait for it, and are dropped when they are too many.
#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_does_not_read_stops_no_other_channels_spans() {
    const WAVE: i32 = 3000;
    let (database, collector) = (Database::new().await, Collector::start().await);
    let url = collector.url();
    // All of them stay in the log.
    let log = [("history-events", "10000"), ("history-bytes", "128MiB")];
    let settings = [("otlp-endpoint", &*url), log[0], log[1]];
    let gateway = TestGateway::with(&database, &settings).await;
    let mut reader = gateway.reader(Wire::WebSocket, "read").await;
    let _stuck = stuck_web_socket(gateway.address, "/v1/ws?channel=unread").await;
    let sql = "SELECT pg_notify('unread', format('{\"x\": \"%s\", \"traceparent\": \
               \"00-%s-00000000000000ff-01\"}', repeat('x', 7800), lpad(to_hex(n), 32, '0'))) \
               FROM generate_series(1, $1::int) AS n";
    // The kernel buffers some of the first wave, and nothing of the second.
    for wave in 1..=2 {
        database.client.query(sql, &[&WAVE]).await.unwrap();
        until("they are in the log", || async {
            sample(&gateway, "pgfan_log_events").await >= f64::from(wave * WAVE)
        })
        .await;
    }
    assert!(dropped(&gateway).await >= f64::from(WAVE) - 2048.0);
    database.notify("read", &traced(0)).await;
    assert_eq!(reader.event().await.1, traced(0));
    let is_read = |span: &Span| attribute(&span.attributes, "messaging.destination.name") == "read";
    until("its span is exported", || async {
        collector.spans().iter().any(is_read)
    })
    .await;
}
