//! F23: a session that does not read its notifications fills the cluster's
//! queue, and the transactions that notify fail.

use std::time::Duration;

use tokio::time::Instant;

use crate::{
    audience::{Audience, newcomers_are_turned_away},
    support::{Database, TestGateway, own_server, until},
};

/// The smallest possible queue: 512 KB.
const SMALL: (&str, &str) = ("max_notify_queue_pages", "64");

/// Each of its notifications fills a page.
async fn fill(database: &Database, pages: usize) -> Result<(), tokio_postgres::Error> {
    for n in 0..pages {
        let sql = format!("SELECT pg_notify('filling', '{n}' || repeat('x', 7900))");
        database.client.batch_execute(&sql).await?;
    }
    Ok(())
}

/// Whether the server allows a small queue: filling its default of 8 GB would
/// take minutes.
async fn can_be_small() -> bool {
    let sql = "SELECT count(*) FROM pg_settings WHERE name = 'max_notify_queue_pages'";
    let row = Database::new().await.client.query_one(sql, &[]).await;
    row.unwrap().get::<_, i64>(0) == 1
}

#[tokio::test(flavor = "multi_thread")]
async fn f23_a_full_queue_is_told_and_freed_once_its_staller_is_gone() {
    if !can_be_small().await {
        println!("f23 is skipped: before PostgreSQL 17 the queue always has 8 GB");
        return;
    }
    let server = own_server(&[SMALL]).await;
    let database = Database::at(server.url()).await;
    let settings = [("subscribe-timeout", "300ms")];
    let gateway = TestGateway::starting(&server.url(), &settings);
    gateway.ready().await;
    let mut audience = Audience::of(gateway.address).await;

    let staller = Database::at(server.url()).await;
    staller.run("LISTEN filling").await;
    staller.run("BEGIN; SELECT 1").await;
    fill(&database, 24).await.unwrap();
    gateway.unready("queue is filling").await;
    database.notify("a", "while it fills").await;
    audience.hear("while it fills").await;

    let full = fill(&database, 64).await.unwrap_err();
    assert_eq!(full.code().unwrap().code(), "54000");
    // The heartbeat query fails too, so it is unknown whether notifications
    // arrive.
    audience
        .are_interrupted(Instant::now(), Duration::from_secs(6))
        .await;
    newcomers_are_turned_away(gateway.address).await;

    staller.run("COMMIT").await;
    let gone = Instant::now();
    until("notifying works", || async {
        fill(&database, 1).await.is_ok()
    })
    .await;
    assert!(
        gone.elapsed() < Duration::from_secs(10),
        "{:?}",
        gone.elapsed()
    );
    audience.are_live_again().await;
    gateway.ready().await;
    database.notify("a", "again").await;
    audience.hear("again").await;
}
