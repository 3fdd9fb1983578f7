//! The end: every reader is told to come back, and nothing is left.

use crate::support::{Database, Said, TestGateway, Wire};

#[tokio::test(flavor = "multi_thread")]
async fn every_reader_is_told_to_come_back() {
    let database = Database::new().await;
    let gateway = TestGateway::on(&database).await;
    let mut readers = Vec::new();
    for wire in Wire::ALL {
        readers.push((wire, gateway.reader(wire, "a").await));
    }
    gateway.begin_shutdown();
    for (wire, reader) in &mut readers {
        let expected = match wire {
            Wire::WebSocket | Wire::PgCacheWatch => Said::Closed(1012, "shutting_down".into()),
            Wire::Sse => Said::Closed(200, "shutting_down".into()),
            Wire::Grpc => Said::Closed(14, "the gateway is shutting down".into()),
        };
        assert_eq!(reader.said().await, expected, "{wire:?}");
    }
    gateway.stop().await;
    assert!(database.listeners().await.is_empty());
}
