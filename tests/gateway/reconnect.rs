//! A lost session: each reader is told at once, and all is live again by
//! itself.

use std::time::Duration;

use pgfan::sandbox::Mode;
use tokio::time::Instant;

use crate::support::{
    Database, Reader, Said, TestGateway, WebSocket, Wire, own_server, until, within,
};

fn is_gap(said: &Said) -> bool {
    matches!(said, Said::Gap { reason, .. } if reason == "source_lost")
}

#[tokio::test(flavor = "multi_thread")]
async fn every_reader_is_told_within_a_second() {
    let database = Database::new().await;
    let gateway = TestGateway::on(&database).await;
    let mut readers = Vec::new();
    for wire in Wire::FULL {
        readers.push(gateway.reader(wire, "a").await);
    }
    let mut old = gateway.reader(Wire::PgCacheWatch, "a").await;
    let mut raw = WebSocket::open(gateway.address, "/v1/ws?channel=a&format=raw")
        .await
        .unwrap();
    let cut = Instant::now();
    assert!(database.terminate().await >= 1);
    for reader in &mut readers {
        assert_eq!(reader.said().await, Said::Interrupted);
    }
    assert_eq!(old.said().await, Said::Closed(1012, "interrupted".into()));
    assert_eq!(raw.text().await.unwrap_err().0, 1012);
    assert!(
        cut.elapsed() < Duration::from_secs(1),
        "{:?}",
        cut.elapsed()
    );
    for reader in &mut readers {
        assert!(is_gap(&reader.said().await));
        assert!(matches!(reader.said().await, Said::Live { .. }));
    }
    // All is live again: for those who stayed, and for those who come back.
    readers.push(gateway.reader(Wire::PgCacheWatch, "a").await);
    database.notify("a", "again").await;
    for reader in &mut readers {
        assert_eq!(reader.event().await.1, "again");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_from_before_the_loss_meets_its_gap() {
    let database = Database::new().await;
    let gateway = TestGateway::on(&database).await;
    let mut reader = gateway.reader(Wire::Sse, "a").await;
    let cursor = reader.ready_cursor();
    database.notify("a", "before").await;
    reader.event().await;
    database.terminate().await;
    while !matches!(reader.said().await, Said::Live { .. }) {}
    database.notify("a", "after").await;
    for wire in Wire::FULL {
        let mut late = Reader::open(wire, gateway.address, &["a"], Some(&cursor)).await;
        late.ready().await;
        assert_eq!(late.event().await.1, "before");
        assert!(is_gap(&late.said().await));
        assert_eq!(late.event().await.1, "after");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_source_is_away_who_comes_waits_and_is_served_when_it_is_back() {
    let mut server = own_server(&[]).await;
    let database = Database::at(server.url()).await;
    let gateway = TestGateway::on(&database).await;
    let mut stayed = gateway.reader(Wire::WebSocket, "a").await;
    server.stop(Mode::Fast).await.unwrap();
    assert_eq!(stayed.said().await, Said::Interrupted);
    let answer = gateway.get("/readyz").await;
    assert_eq!(
        (answer.status, answer.code()),
        (503, "source_unavailable".into())
    );
    assert_eq!(gateway.get("/healthz").await.status, 200);
    let address = gateway.address;
    let opened = Wire::ALL
        .map(|wire| tokio::spawn(async move { Reader::open(wire, address, &["b"], None).await }));
    server.start_again().await.unwrap();
    let database = Database::at(server.url()).await;
    let mut readers = Vec::new();
    for reader in opened {
        let mut reader = within("a reader", reader).await.unwrap();
        reader.ready().await;
        readers.push(reader);
    }
    assert!(is_gap(&stayed.said().await));
    assert!(matches!(stayed.said().await, Said::Live { .. }));
    database.notify("a", "again").await;
    database.notify("b", "at last").await;
    assert_eq!(stayed.event().await.1, "again");
    for reader in &mut readers {
        assert_eq!(reader.event().await.1, "at last");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_it_stays_away_who_comes_is_told_so() {
    // Port 1 of the loopback is nobody's.
    let url = "postgresql://nobody@127.0.0.1:1/none";
    let gateway = TestGateway::starting(url, &[("subscribe-timeout", "500ms")]);
    let word = "source_unavailable".to_owned();
    for wire in Wire::ALL {
        let mut reader = Reader::open(wire, gateway.address, &["a"], None).await;
        let expected = match wire {
            Wire::WebSocket => Said::Closed(1013, word.clone()),
            Wire::Sse => Said::Closed(200, word.clone()),
            Wire::Grpc => Said::Closed(14, "the database cannot be reached now".into()),
            Wire::PgCacheWatch => Said::Closed(503, String::new()),
        };
        assert_eq!(reader.said().await, expected, "{wire:?}");
    }
    let mut socket = WebSocket::open(gateway.address, "/v1/ws").await.unwrap();
    socket.say(r#"{"type":"subscribe","channels":["a"]}"#).await;
    assert_eq!(socket.said().await, Said::Closed(1013, word));
}

/// The open port comes before the first LISTEN.
#[tokio::test(flavor = "multi_thread")]
async fn the_first_client_of_a_gateway_that_starts_is_served() {
    let database = Database::new().await;
    for wire in Wire::ALL {
        let gateway = TestGateway::starting(&database.url, &[]);
        let mut reader = gateway.reader(wire, "a").await;
        database.notify("a", "first").await;
        assert_eq!(reader.event().await.1, "first");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_goes_silent_is_dropped() {
    let server = own_server(&[]).await;
    let database = Database::at(server.url()).await;
    let link = crate::support::Link::to(server.port()).await;
    let url = format!("postgresql://pgfan@127.0.0.1:{}/postgres", link.port);
    let beat = [
        ("heartbeat-interval", "200ms"),
        ("heartbeat-timeout", "300ms"),
    ];
    let gateway = TestGateway::starting(&url, &beat);
    let mut reader = gateway.reader(Wire::Grpc, "a").await;
    let mut old = gateway.reader(Wire::PgCacheWatch, "a").await;
    let frozen = Instant::now();
    link.freeze();
    assert_eq!(reader.said().await, Said::Interrupted);
    assert_eq!(old.said().await, Said::Closed(1012, "interrupted".into()));
    assert!(
        frozen.elapsed() < Duration::from_secs(2),
        "{:?}",
        frozen.elapsed()
    );
    database.notify("a", "of the abandoned session").await;
    link.thaw();
    assert!(is_gap(&reader.said().await));
    assert!(matches!(reader.said().await, Said::Live { .. }));
    until("the abandoned backend is gone", || async {
        database.listeners().await.len() == 1
    })
    .await;
    database.notify("a", "next").await;
    assert_eq!(reader.event().await.1, "next");
}

/// A listening session alone would keep such a server waiting for ever.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_shutting_down_is_let_go() {
    let mut server = own_server(&[]).await;
    let database = Database::at(server.url()).await;
    let gateway = TestGateway::on(&database).await;
    let mut reader = gateway.reader(Wire::Sse, "a").await;
    drop(database);
    server.stop(Mode::Smart).await.unwrap();
    assert_eq!(reader.said().await, Said::Interrupted);
    server.start_again().await.unwrap();
    assert!(is_gap(&reader.said().await));
    assert!(matches!(reader.said().await, Said::Live { .. }));
}
