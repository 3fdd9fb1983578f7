//! F5 to F7: the network between the gateway and its server.

use std::time::Duration;

use pgfan::sandbox::Sandbox;
use tokio::time::Instant;

use crate::{
    audience::{Audience, SILENT},
    support::{Database, Link, TestGateway, own_server, until},
};

/// A server, a link to it, and a gateway behind the link; the database is
/// reached without it.
struct Behind {
    link: Link,
    database: Database,
    gateway: TestGateway,
    _server: Sandbox,
}

impl Behind {
    async fn a_link() -> Self {
        let server = own_server(&[]).await;
        let link = Link::to(server.port()).await;
        let url = format!("postgresql://pgfan@127.0.0.1:{}/postgres", link.port);
        let gateway = TestGateway::starting(&url, &[]);
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

/// TCP stays up on both sides, as through a proxy that hangs.
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

/// A round trip of 1 s and lost packets: late, and nothing more.
#[tokio::test(flavor = "multi_thread")]
async fn f07_a_slow_and_lossy_link_within_the_deadline_is_borne() {
    let behind = Behind::a_link().await;
    let mut audience = Audience::of(behind.gateway.address).await;
    let pid = behind.database.listeners().await;
    behind.link.delay(Duration::from_millis(500));
    behind.link.lose(10);
    let begun = Instant::now();
    // Three beats at least.
    let mut n = 0;
    while begun.elapsed() < Duration::from_secs(7) {
        n += 1;
        behind.database.notify("a", &n.to_string()).await;
        audience.hear(&n.to_string()).await;
    }
    assert_eq!(behind.database.listeners().await, pid, "the same session");
}

/// A round trip of 4 s, which no beat survives: lost once, and live once when
/// it is over.
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
