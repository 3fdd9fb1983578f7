//! Cursors that cannot be resumed from. PGCacheWatch has none.

use crate::support::{Database, Reader, Said, TestGateway, Wire, until};

async fn resume(gateway: &TestGateway, wire: Wire, channel: &str, cursor: &str) -> Reader {
    Reader::open(wire, gateway.address, &[channel], Some(cursor)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn f19_f20_a_cursor_that_cannot_be_honoured_is_one_gap_and_the_stream_goes_on() {
    let database = Database::new().await;
    let gateway = TestGateway::with(&database, &[("history-events", "10")]).await;
    let other = TestGateway::on(&database).await;
    let mut keeper = gateway.reader(Wire::WebSocket, "a").await;
    let old = keeper.ready_cursor();
    let foreign = other.reader(Wire::WebSocket, "a").await.ready_cursor();
    database.notify_range("a", 1, 11).await;
    keeper.payloads(11).await;
    let (epoch, _) = old.split_once('-').unwrap();
    let future = format!("{epoch}-999999");
    let (huge, digits) = (
        "x".repeat(10_000),
        format!("{epoch}-{}", "9".repeat(10_000)),
    );
    let unknown = [
        &foreign, &future, &huge, &digits, "-1", "%00", "é😀", "a\tb", "{}",
    ];
    let cases = unknown.map(|cursor| (cursor, "unknown_cursor"));
    for wire in Wire::FULL {
        for (cursor, reason) in cases.into_iter().chain([(old.as_str(), "cursor_too_old")]) {
            let mut reader = resume(&gateway, wire, "a", cursor).await;
            let gap = reader.said().await;
            assert!(
                matches!(&gap, Said::Gap { reason: r, .. } if r == reason),
                "{cursor:.30} {gap:?}"
            );
            reader.ready().await;
            database.notify("a", "next").await;
            assert_eq!(reader.event().await.1, "next", "{wire:?} {cursor:.30}");
        }
    }
}

/// A gateway can easily lose events silently here.
#[tokio::test(flavor = "multi_thread")]
async fn f21_a_channel_that_was_given_up_in_between_is_a_gap() {
    let database = Database::new().await;
    // No heartbeat, so that UNLISTEN stays the session's last statement.
    let settings = [("linger", "0s"), ("heartbeat-interval", "1h")];
    let gateway = TestGateway::with(&database, &settings).await;
    for wire in Wire::FULL {
        let channel = format!("{wire:?}");
        let reader = gateway.reader(wire, &channel).await;
        let cursor = reader.ready_cursor();
        drop(reader);
        until("UNLISTEN", || async {
            let sql = "SELECT count(*) FROM pg_stat_activity WHERE state = 'idle' \
                       AND datname = current_database() AND query ~ ('UNLISTEN \"' || $1)";
            let row = database.client.query_one(sql, &[&channel]).await;
            row.unwrap().get::<_, i64>(0) == 1
        })
        .await;
        database.notify(&channel, "heard by nobody").await;
        let mut reader = resume(&gateway, wire, &channel, &cursor).await;
        let gap = reader.said().await;
        assert!(
            matches!(&gap, Said::Gap { reason, .. } if reason == "cursor_too_old"),
            "{gap:?}"
        );
        reader.ready().await;
    }
}
