//! F10: an old primary stays alive, with the gateway's session, while the name
//! resolves to another server. The gateway has to detect it by itself: it still
//! receives everything of the old one.

use std::time::Duration;

use tokio::{
    select,
    task::JoinHandle,
    time::{Instant, sleep},
};

use crate::{
    audience::{AT_ONCE, Audience, is_gap},
    support::{
        Database, Link, Reader, Said, TestGateway, Wire, own_server, post, promote, standby_of,
        until, within,
    },
};

/// 5 s to the next check of the auxiliary session, 3 s in which its
/// notification has to arrive, and a moment for connecting and for the message
/// to the readers.
const ELSEWHERE: Duration = Duration::from_millis(8300);

fn through(link: &Link) -> String {
    format!("postgresql://pgfan@127.0.0.1:{}/postgres", link.port)
}

/// Notifies continuously.
fn busy(database: Database) -> JoinHandle<()> {
    tokio::spawn(async move {
        loop {
            database.notify("a", "of the old one").await;
            sleep(Duration::from_millis(20)).await;
        }
    })
}

/// The first message that is no event, and the payloads before it.
async fn after_events(reader: &mut Reader) -> (Said, Vec<String>) {
    let mut payloads = Vec::new();
    loop {
        match reader.said().await {
            Said::Event { payload, .. } => payloads.push(payload),
            said => return (said, payloads),
        }
    }
}

async fn is_told(primary: u16, new: u16, begin: impl AsyncFnOnce() -> Database) {
    let link = Link::to(primary).await;
    let gateway = TestGateway::starting(&through(&link), &[]);
    gateway.ready().await;
    let mut readers = Vec::new();
    for wire in Wire::FULL {
        readers.push(gateway.reader(wire, "a").await);
    }
    let old = format!("postgresql://pgfan@127.0.0.1:{primary}/postgres");
    let flood = busy(Database::at(old.clone()).await);
    let database = begin().await;
    link.lead_to(new);
    let lost = Instant::now();
    for reader in &mut readers {
        let (said, _) = within("a reader is told", after_events(reader)).await;
        assert_eq!(said, Said::Interrupted);
    }
    let took = lost.elapsed();
    assert!(took < ELSEWHERE, "told after {took:?}");
    for reader in &mut readers {
        let gap = reader.said().await;
        assert!(is_gap(&gap), "{gap:?}");
        let live = reader.said().await;
        assert!(matches!(live, Said::Live { .. }), "{live:?}");
    }
    database.notify("a", "of the new one").await;
    for reader in &mut readers {
        assert_eq!(reader.event().await.1, "of the new one");
    }
    gateway.ready().await;
    assert!(!flood.is_finished(), "the old server lives on");
    flood.abort();
    let old = Database::at(old).await;
    until("the old server is left", || async {
        old.listeners().await.is_empty()
    })
    .await;
}

/// The old primary is not fenced, accepts writes and notifies; so its own
/// session proves nothing.
#[tokio::test(flavor = "multi_thread")]
async fn f10_an_old_primary_that_lives_on_is_left_for_the_promoted_standby() {
    let primary = own_server(&[]).await;
    let standby = standby_of(&primary).await;
    is_told(primary.port(), standby.port(), async || {
        promote(&standby).await
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn f10_a_name_that_leads_to_another_cluster_is_followed() {
    let (old, new) = (own_server(&[]).await, own_server(&[]).await);
    is_told(old.port(), new.port(), async || {
        Database::at(new.url()).await
    })
    .await;
}

/// Each was committed on the server that the readers follow, until they are
/// informed otherwise.
#[tokio::test(flavor = "multi_thread")]
async fn f10_what_is_published_meanwhile_is_heard_or_in_the_gap() {
    let (old, new) = (own_server(&[]).await, own_server(&[]).await);
    let link = Link::to(old.port()).await;
    let gateway = TestGateway::starting(&through(&link), &[("allow-publish", "on")]);
    gateway.ready().await;
    let mut reader = gateway.reader(Wire::WebSocket, "a").await;
    // A new session takes half a second then: nothing is published on it before
    // the reader is informed.
    link.delay(Duration::from_millis(50));
    link.lead_to(new.port());
    let mut told = Box::pin(after_events(&mut reader));
    let mut published = Vec::new();
    let (said, heard) = loop {
        let payload = published.len().to_string();
        select! {
            told = &mut told => break told,
            answer = post(gateway.address, "/v1/channels/a", payload.clone()) => {
                assert_eq!(answer.status, 204);
                published.push(payload);
            }
        }
    };
    drop(told);
    assert_eq!(said, Said::Interrupted);
    assert!(heard.starts_with(&published), "{heard:?}\n{published:?}");
    assert!(is_gap(&reader.said().await));
    assert!(matches!(reader.said().await, Said::Live { .. }));
    let answer = post(gateway.address, "/v1/channels/a", "last").await;
    assert_eq!(answer.status, 204);
    while reader.event().await.1 != "last" {}
}

/// The pid of the publishing session, if there is one.
async fn publishing(database: &Database, listening: i32) -> Option<i32> {
    let sql = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() \
               AND application_name = 'pgfan' AND pid <> $1";
    let rows = database.client.query(sql, &[&listening]).await.unwrap();
    rows.first().map(|row| row.get(0))
}

/// Each new auxiliary session checks whether its notification arrives, here
/// some dozen times behind bursts of events: the readers get nothing but
/// events.
#[tokio::test(flavor = "multi_thread")]
async fn f10_a_healthy_server_under_load_is_not_taken_for_another() {
    let server = own_server(&[]).await;
    let database = Database::at(server.url()).await;
    let gateway = TestGateway::starting(&server.url(), &[("allow-publish", "on")]);
    gateway.ready().await;
    let mut reader = gateway.reader(Wire::WebSocket, "a").await;
    let listening = database.listeners().await[0];
    let load = Database::at(server.url()).await;
    let load = tokio::spawn(async move {
        loop {
            load.notify_range("nobody's", 1, 20_000).await;
            load.notify_range("b", 1, 2_000).await;
        }
    });
    let mut looks = 0;
    while looks < 30 {
        let payload = looks.to_string();
        let answer = post(gateway.address, "/v1/channels/a", payload.clone()).await;
        // Otherwise it was in flight when its session ended.
        if answer.status != 204 {
            continue;
        }
        assert_eq!(reader.event().await.1, payload);
        if let Some(pid) = publishing(&database, listening).await {
            let sql = "SELECT pg_terminate_backend($1, 5000)";
            database.client.query(sql, &[&pid]).await.unwrap();
            looks += 1;
        }
    }
    load.abort();
    assert_eq!(database.listeners().await, [listening]);
}

/// A round trip of 0.6 s: the proof and the heartbeat behind it are equally
/// late.
#[tokio::test(flavor = "multi_thread")]
async fn f10_a_slow_link_is_not_taken_for_another_server() {
    let server = own_server(&[]).await;
    let link = Link::to(server.port()).await;
    let database = Database::at(server.url()).await;
    let gateway = TestGateway::starting(&through(&link), &[("allow-publish", "on")]);
    gateway.ready().await;
    let mut audience = Audience::of(gateway.address).await;
    let listening = database.listeners().await;
    link.delay(Duration::from_millis(300));
    let before = link.accepted();
    let mut n = 0;
    // Each has made its check, except for the last.
    while link.accepted() < before + 5 {
        let answer = post(gateway.address, "/v1/channels/a", n.to_string()).await;
        assert_eq!(answer.status, 204);
        audience.hear(&n.to_string()).await;
        n += 1;
        until("the second session has left", || async {
            publishing(&database, listening[0]).await.is_none()
        })
        .await;
    }
    assert_eq!(database.listeners().await, listening, "the same session");
    // A loss is still reported.
    let lost = Instant::now();
    link.cut();
    audience.are_interrupted(lost, AT_ONCE).await;
    link.delay(Duration::ZERO);
    audience.are_live_again().await;
}

/// The name changes to another server while a new session is set up on the old
/// one, which continues to notify: notifications through the name never arrive,
/// and other ones must not count instead.
#[tokio::test(flavor = "multi_thread")]
async fn f10_a_session_that_stayed_with_the_old_server_is_given_up() {
    let (old, new) = (own_server(&[]).await, own_server(&[]).await);
    let link = Link::to(old.port()).await;
    let url = format!("postgresql://pgfan@127.0.0.1:{}/postgres", link.port);
    let gateway = TestGateway::starting(&url, &[]);
    gateway.ready().await;
    let mut audience = Audience::of(gateway.address).await;
    let database = Database::at(old.url()).await;
    // Set up slowly enough that the name can change meanwhile.
    link.delay(Duration::from_millis(50));
    let lost = Instant::now();
    let before = link.accepted();
    assert!(database.terminate().await >= 1);
    audience.are_interrupted(lost, AT_ONCE).await;
    until("a new session begins", || async {
        link.accepted() > before
    })
    .await;
    link.lead_to(new.port());
    link.delay(Duration::ZERO);
    let busy = tokio::spawn(async move {
        loop {
            database.notify("a", "of the old one").await;
            sleep(Duration::from_millis(100)).await;
        }
    });
    audience.are_live_again().await;
    busy.abort();
    let database = Database::at(new.url()).await;
    database.notify("a", "of the new one").await;
    audience.hear("of the new one").await;
}
