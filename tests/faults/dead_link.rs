//! F5 to F7: the network between the gateway and its server.

use std::time::Duration;

use pgfan::temp_postgres::Sandbox;
use tokio::time::{Instant, sleep};

use crate::{
    audience::{AT_ONCE, Audience, SILENT},
    support::{Database, Link, Reader, TestGateway, Wire, own_server, until},
};

/// A server, a link to it, and a gateway behind the link; the test's own
/// connection does not use the link.
struct Behind {
    link: Link,
    database: Database,
    gateway: TestGateway,
    _server: Sandbox,
}

impl Behind {
    async fn a_link() -> Self {
        Self::a_link_with(&[]).await
    }

    async fn a_link_with(settings: &[(&str, &str)]) -> Self {
        let server = own_server(&[]).await;
        let link = Link::to(server.port()).await;
        let url = format!("postgresql://pgfan@127.0.0.1:{}/postgres", link.port);
        let gateway = TestGateway::starting(&url, settings);
        gateway.ready().await;
        Self {
            link,
            database: Database::at(server.url()).await,
            gateway,
            _server: server,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn f05_dropped_packets_are_noticed_and_the_backend_does_not_stay() {
    let behind = Behind::a_link().await;
    let mut audience = Audience::of(behind.gateway.address).await;
    let abandoned = behind.database.listeners().await;
    assert_eq!(abandoned.len(), 1);
    let lost = Instant::now();
    behind.link.lose(100);
    audience.are_interrupted(lost, SILENT).await;
    until("the abandoned backend is gone", || async {
        behind.database.listeners().await.is_empty()
    })
    .await;
    assert!(
        lost.elapsed() < Duration::from_secs(15),
        "gone after {:?}",
        lost.elapsed()
    );
    behind.link.lose(0);
    audience.are_live_again().await;
    behind.database.notify("a", "again").await;
    audience.hear("again").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn f05_a_connection_that_is_reset_is_told_at_once() {
    let behind = Behind::a_link().await;
    let mut audience = Audience::of(behind.gateway.address).await;
    let lost = Instant::now();
    behind.link.cut();
    audience.are_interrupted(lost, AT_ONCE).await;
    audience.are_live_again().await;
    behind.database.notify("a", "again").await;
    audience.hear("again").await;
}

/// TCP stays up on both sides, as through a hanging proxy.
#[tokio::test(flavor = "multi_thread")]
async fn f06_a_frozen_middlebox_is_noticed_and_its_bytes_are_not_used() {
    let behind = Behind::a_link().await;
    let mut audience = Audience::of(behind.gateway.address).await;
    let lost = Instant::now();
    behind.link.freeze();
    for n in 1..=3 {
        behind
            .database
            .notify("a", &format!("of the old session {n}"))
            .await;
    }
    audience.are_interrupted(lost, SILENT).await;
    behind.link.thaw();
    audience.are_live_again().await;
    until("the abandoned backend is gone", || async {
        behind.database.listeners().await.len() == 1
    })
    .await;
    behind.database.notify("a", "next").await;
    audience.hear("next").await;
}

/// A round trip of 1 s and lost packets cause delay, and no loss.
#[tokio::test(flavor = "multi_thread")]
async fn f07_a_slow_and_lossy_link_within_the_deadline_is_borne() {
    let behind = Behind::a_link().await;
    let mut audience = Audience::of(behind.gateway.address).await;
    let pid = behind.database.listeners().await;
    behind.link.delay(Duration::from_millis(500));
    behind.link.lose(10);
    let begun = Instant::now();
    // At least three heartbeats.
    let mut n = 0;
    while begun.elapsed() < Duration::from_secs(7) {
        n += 1;
        behind.database.notify("a", &n.to_string()).await;
        audience.hear(&n.to_string()).await;
    }
    assert_eq!(behind.database.listeners().await, pid, "the same session");
}

/// A round trip of 4 s exceeds every heartbeat deadline: lost once, and live
/// once when it is over.
#[tokio::test(flavor = "multi_thread")]
async fn f07_a_link_that_is_slower_than_the_deadline_is_lost_once() {
    let behind = Behind::a_link().await;
    let mut audience = Audience::of(behind.gateway.address).await;
    let slow = Duration::from_secs(2);
    let lost = Instant::now();
    behind.link.delay(slow);
    audience.are_interrupted(lost, SILENT + slow).await;
    behind.link.delay(Duration::ZERO);
    audience.are_live_again().await;
    behind.database.notify("a", "again").await;
    audience.hear("again").await;
}

/// Readers come and go while a session is slowly set up: it takes several round
/// trips of 0.2 s until it is live.
#[tokio::test(flavor = "multi_thread")]
async fn f07_channels_that_change_while_a_session_is_set_up_are_all_heard() {
    let behind = Behind::a_link_with(&[("linger", "0s")]).await;
    let mut audience = Audience::of(behind.gateway.address).await;
    behind.link.delay(Duration::from_millis(100));
    assert!(behind.database.terminate().await >= 1);
    audience.are_interrupted(Instant::now(), SILENT).await;
    let mut readers = Vec::new();
    for n in 0..30 {
        for wire in Wire::FULL {
            let name = format!("new {n}");
            let reader = Reader::open(wire, behind.gateway.address, &[&name], None).await;
            // Some channels keep all readers, some keep one, some none.
            if n % 3 == 0 || n % 3 == 1 && wire == Wire::Sse {
                readers.push((name, reader));
            }
        }
        sleep(Duration::from_millis(50)).await;
    }
    for (_, reader) in &mut readers {
        reader.ready().await;
    }
    audience.are_live_again().await;
    for n in 0..30 {
        let name = format!("new {n}");
        behind.database.notify(&name, &name).await;
    }
    for (name, reader) in &mut readers {
        assert_eq!(reader.event().await.1, *name);
    }
}
