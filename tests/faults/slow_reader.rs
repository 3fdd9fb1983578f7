//! A reader that does not read delays no other reader, and is disconnected.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::{io::AsyncReadExt, net::TcpStream, time::interval};

use crate::support::{
    Database, Reader, Said, TestGateway, Wire, get, grpc_client,
    large::{EVENTS, STEP, goes_on_to, hears_large, is_overtaken, notify_large},
    stuck_sse, stuck_web_socket, until, within,
};

#[tokio::test(flavor = "multi_thread")]
async fn f16_who_takes_nothing_is_closed_and_the_others_get_everything() {
    let database = Database::new().await;
    let settings = [
        ("write-timeout", "1s"),
        ("max-readers", "2"),
        ("max-readers-per-address", "1000"),
    ];
    for wire in [Wire::WebSocket, Wire::Sse, Wire::PgCacheWatch] {
        let gateway = TestGateway::with(&database, &settings).await;
        let address = gateway.address;
        let stuck = match wire {
            Wire::Sse => stuck_sse(address, "/v1/sse?channel=a").await,
            Wire::PgCacheWatch => stuck_web_socket(address, "/pgpubsub/a").await,
            _ => stuck_web_socket(address, "/v1/ws?channel=a").await,
        };
        let mut reader = gateway.reader(Wire::WebSocket, "a").await;
        notify_large(&database, 1..=EVENTS).await;
        hears_large(&mut reader, 1..=EVENTS).await;
        // Its place is free again when it is closed.
        until("the one that takes nothing is closed", || async {
            let head = hyper::body::Bytes::new();
            let path = "/v1/sse?channel=b";
            let answer = crate::support::request(gateway.address, "GET", path, &[], head);
            answer.await.status() == 200
        })
        .await;
        drop(stuck);
        assert_eq!(get(gateway.address, "/readyz", &[]).await.status, 200);
    }
}

/// Its connection answers pings and reads another stream: only the stream that
/// is not read is reset.
#[tokio::test(flavor = "multi_thread")]
async fn f16_a_stream_that_takes_nothing_is_reset_and_its_neighbour_gets_everything() {
    let database = Database::new().await;
    let settings = [
        ("write-timeout", "1s"),
        ("keepalive", "200ms"),
        ("max-readers", "2"),
        ("max-readers-per-address", "1000"),
    ];
    let gateway = TestGateway::with(&database, &settings).await;
    let client = grpc_client(gateway.address).await;
    let mut stuck = Reader::on_channel(&client, "a");
    stuck.ready().await;
    let mut neighbour = Reader::on_channel(&client, "b");
    neighbour.ready().await;
    notify_large(&database, 1..=EVENTS).await;
    until("the one that takes nothing is reset", || async {
        let body = hyper::body::Bytes::new();
        let path = "/v1/sse?channel=c";
        let answer = crate::support::request(gateway.address, "GET", path, &[], body);
        answer.await.status() == 200
    })
    .await;
    database.notify_range("b", 1, 100).await;
    assert_eq!(neighbour.payloads(100).await.len(), 100);
    let mut said = stuck.said().await;
    while matches!(said, Said::Event { .. }) {
        said = stuck.said().await;
    }
    assert!(matches!(said, Said::Closed(..)), "{said:?}");
}

/// Four of them are too slow for a log of 1 MiB, while others get everything.
#[tokio::test(flavor = "multi_thread")]
async fn f16_a_slow_reader_gets_a_gap_and_goes_on_at_the_head() {
    let database = Database::new().await;
    let settings = [("history-bytes", "1MiB"), ("write-timeout", "1m")];
    let gateway = TestGateway::with(&database, &settings).await;
    let (mut slow, mut quick) = (Vec::new(), Vec::new());
    for wire in Wire::ALL {
        slow.push((wire, gateway.reader(wire, "a").await));
        quick.push(gateway.reader(wire, "a").await);
    }
    for first in (1..EVENTS).step_by(STEP as usize) {
        let numbers = first..=first + STEP - 1;
        notify_large(&database, numbers.clone()).await;
        let reading = quick.iter_mut();
        join_all(reading.map(|reader| hears_large(reader, numbers.clone()))).await;
    }
    for (wire, reader) in &mut slow {
        is_overtaken(reader, *wire).await;
    }
    database.notify("a", "at the head").await;
    for (wire, reader) in slow.iter_mut().filter(|(w, _)| *w != Wire::PgCacheWatch) {
        goes_on_to(reader, "at the head", *wire).await;
    }
}

/// It reads little, but never stops for long: it gets a gap, and is not closed.
/// The kernel buffers little of the data before its gap, so it gets the gap
/// soon.
#[tokio::test(flavor = "multi_thread")]
async fn f16_who_reads_slowly_gets_a_gap_and_stays() {
    let database = Database::new().await;
    let settings = [
        ("history-bytes", "1MiB"),
        ("write-timeout", "2s"),
        ("keepalive", "1s"),
    ];
    let gateway = TestGateway::with(&database, &settings).await;
    let address = gateway.address;
    let slow = [
        stuck_web_socket(address, "/v1/ws?channel=a").await,
        stuck_sse(address, "/v1/sse?channel=a").await,
    ];
    let mut quick = gateway.reader(Wire::WebSocket, "a").await;
    let flood = async {
        for first in (1..EVENTS).step_by(STEP as usize) {
            notify_large(&database, first..=first + STEP - 1).await;
            hears_large(&mut quick, first..=first + STEP - 1).await;
        }
    };
    let reading = slow.map(|stream| tokio::spawn(reads_slowly(stream)));
    flood.await;
    for reader in reading {
        within("a slow reader hears of its gap", reader)
            .await
            .unwrap();
    }
}

/// Reads 80 KB a second, until the gap.
async fn reads_slowly(mut stream: TcpStream) {
    let mut ticks = interval(Duration::from_millis(50));
    let mut heard = Vec::new();
    while !heard.windows(11).any(|part: &[u8]| part == b"slow_reader") {
        // The text may have arrived in two parts.
        heard.drain(..heard.len().saturating_sub(10));
        ticks.tick().await;
        let mut part = [0; 4096];
        let length = stream.read(&mut part).await.unwrap();
        assert!(length > 0, "it was closed");
        heard.extend_from_slice(&part[..length]);
    }
}
