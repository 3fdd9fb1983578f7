//! Cursors: all events since then, or one gap, and then `ready`; never a part
//! of the events, never an error.

use crate::support::{Database, EventStream, Reader, Said, TestGateway, WebSocket, Wire, get};

async fn resume(gateway: &TestGateway, wire: Wire, channel: &str, cursor: &str) -> Reader {
    Reader::open(wire, gateway.address, &[channel], Some(cursor)).await
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
        let mut keeper = gateway.reader(wire, &channel).await;
        database.notify_range(&channel, 1, 50).await;
        keeper.payloads(50).await;
        let mut reader = resume(&gateway, wire, &channel, &cursor).await;
        let missed = reader.payloads(50).await;
        assert!(missed.iter().map(|n| n.parse::<i32>().unwrap()).eq(1..=50));
        reader.ready().await;
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
        let mut keeper = gateway.reader(wire, "a").await;
        database.notify("a", &n.to_string()).await;
        keeper.event().await;
        let mut reader = resume(&gateway, wire, "a", &cursor).await;
        let (id, payload) = reader.event().await;
        assert_eq!(payload, n.to_string());
        reader.ready().await;
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
    let stream = EventStream::open(
        gateway.address,
        "/v1/sse?channel=a&cursor=strange",
        &headers,
    );
    let mut stream = stream.await;
    assert!(stream.message().await.data.contains("missed"));
    assert!(stream.message().await.data.contains("ready"));
    let path = format!("/v1/sse?channel=a&cursor={cursor}");
    let empty = [("last-event-id", "")];
    let mut stream = EventStream::open(gateway.address, &path, &empty).await;
    assert!(stream.message().await.data.contains("missed"));
    assert_eq!(
        get(gateway.address, "/v1/sse?cursor=1", &[]).await.status,
        400
    );
}

/// `EventSource` polyfills cannot set a header, and append the last id to the
/// original URL; some of them repeatedly.
#[tokio::test(flavor = "multi_thread")]
async fn a_polyfill_that_comes_back_resumes() {
    let database = Database::new().await;
    let gateway = TestGateway::on(&database).await;
    let mut reader = gateway.reader(Wire::Sse, "a").await;
    let first = reader.ready_cursor();
    database.notify("a", "seen").await;
    let (seen, _) = reader.event().await;
    database.notify("a", "missed").await;
    reader.event().await;
    for name in ["lastEventId", "Last-Event-ID"] {
        for query in [
            format!("{name}={seen}"),
            format!("cursor={first}&{name}={seen}"),
            format!("cursor={seen}&{name}={first}&{name}={first}"),
        ] {
            let path = format!("/v1/sse?channel=a&{query}");
            let mut stream = EventStream::open(gateway.address, &path, &[]).await;
            assert!(stream.message().await.data.contains("missed"), "{query}");
            assert!(stream.message().await.data.contains("ready"), "{query}");
        }
        let path = format!("/v1/sse?channel=a&{name}=%FF&{name}=");
        let mut stream = EventStream::open(gateway.address, &path, &[]).await;
        let gap = stream.message().await.data;
        assert!(gap.contains("unknown_cursor"), "{gap}");
    }
}

/// The 101 is its only form of `ready`, and a refusal its only form of a gap
/// before that.
#[tokio::test(flavor = "multi_thread")]
async fn a_raw_socket_resumes_with_all_that_was_missed_or_is_refused() {
    let database = Database::new().await;
    let gateway = TestGateway::on(&database).await;
    let mut keeper = gateway.reader(Wire::WebSocket, "a").await;
    let cursor = keeper.ready_cursor();
    database.notify_range("a", 1, 200).await;
    keeper.payloads(200).await;
    let raw = |cursor: &str| {
        let path = format!("/v1/ws?channel=a&format=raw&cursor={cursor}");
        async move { WebSocket::open(gateway.address, &path).await }
    };
    let mut socket = raw(&cursor).await.unwrap();
    database.notify("a", "201").await;
    for n in 1..=201 {
        assert_eq!(socket.text().await.unwrap(), n.to_string());
    }
    assert_eq!(raw("strange").await.err(), Some(503));
    database.terminate().await;
    while !matches!(keeper.said().await, Said::Live { .. }) {}
    // After everything from before the loss.
    assert_eq!(raw(&cursor).await.err(), Some(503));
    assert_eq!(socket.text().await.unwrap_err().0, 1012);
}
