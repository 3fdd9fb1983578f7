//! Cursors: everything since, or one gap; never a part, never an error.

use crate::support::{Database, Reader, TestGateway, Wire, get};

async fn resume(gateway: &TestGateway, wire: Wire, channel: &str, cursor: &str) -> Reader {
    let mut reader = Reader::open(wire, gateway.address, &[channel], Some(cursor)).await;
    reader.ready().await;
    reader
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_back_gets_exactly_what_was_missed() {
    let database = Database::new().await;
    let gateway = TestGateway::on(&database).await;
    for wire in Wire::FULL {
        let channel = format!("{wire:?}");
        let mut reader = gateway.reader(wire, &channel).await;
        database.notify(&channel, "seen").await;
        let (cursor, _) = reader.event().await;
        drop(reader);
        database.notify_range(&channel, 1, 50).await;
        let mut reader = resume(&gateway, wire, &channel, &cursor).await;
        let missed = reader.payloads(50).await;
        assert!(missed.iter().map(|n| n.parse::<i32>().unwrap()).eq(1..=50));
        database.notify(&channel, "live").await;
        assert_eq!(reader.event().await.1, "live");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_of_one_wire_is_good_on_another() {
    let database = Database::new().await;
    let gateway = TestGateway::on(&database).await;
    let mut cursor = gateway.reader(Wire::WebSocket, "a").await.ready_cursor();
    for (n, wire) in [Wire::Grpc, Wire::Sse, Wire::WebSocket]
        .into_iter()
        .enumerate()
    {
        database.notify("a", &n.to_string()).await;
        let mut reader = resume(&gateway, wire, "a", &cursor).await;
        let (id, payload) = reader.event().await;
        assert_eq!(payload, n.to_string());
        cursor = id;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_header_of_a_browser_wins_over_its_url() {
    let database = Database::new().await;
    let gateway = TestGateway::on(&database).await;
    let mut reader = gateway.reader(Wire::Sse, "a").await;
    let cursor = reader.ready_cursor();
    database.notify("a", "missed").await;
    reader.event().await;
    let headers = [("last-event-id", cursor.as_str())];
    let stream = crate::support::EventStream::open(
        gateway.address,
        "/v1/sse?channel=a&cursor=strange",
        &headers,
    );
    let mut stream = stream.await;
    stream.message().await;
    assert!(stream.message().await.data.contains("missed"));
    let path = format!("/v1/sse?channel=a&cursor={cursor}");
    let empty = [("last-event-id", "")];
    let mut stream = crate::support::EventStream::open(gateway.address, &path, &empty).await;
    stream.message().await;
    assert!(stream.message().await.data.contains("missed"));
    assert_eq!(
        get(gateway.address, "/v1/sse?cursor=1", &[]).await.status,
        400
    );
}
