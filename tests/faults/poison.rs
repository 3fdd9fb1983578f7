//! F22: payloads that the server cannot send to a session in UTF-8.

use tokio::time::Instant;

use crate::{
    audience::{AT_ONCE, Audience},
    support::{Database, TestGateway, own_server, until},
};

const POISON: &str = r"SELECT pg_notify('a', E'\xff')";

/// SQL_ASCII accepts any bytes; a payload that is not UTF-8 ends the session,
/// which costs one gap each time, and nothing more.
#[tokio::test(flavor = "multi_thread")]
async fn f22_each_undecodable_payload_costs_one_gap() {
    let database = Database::with_encoding("SQL_ASCII").await;
    let gateway = TestGateway::on(&database).await;
    let mut audience = Audience::of(gateway.address).await;
    for round in 0..4 {
        let begun = Instant::now();
        database.run(POISON).await;
        audience.are_interrupted(begun, AT_ONCE).await;
        audience.are_live_again().await;
        database.notify("a", &format!("after {round}")).await;
        audience.hear(&format!("after {round}")).await;
    }
    stays(&database, &mut audience).await;
}

/// Payloads of one transaction are delivered together: a new session receives
/// only what is committed after its LISTEN.
#[tokio::test(flavor = "multi_thread")]
async fn f22_many_at_once_cost_one_gap() {
    let database = Database::with_encoding("SQL_ASCII").await;
    let gateway = TestGateway::on(&database).await;
    let mut audience = Audience::of(gateway.address).await;
    let begun = Instant::now();
    // Valid payloads before the poison are not lost.
    let mix = r"SELECT pg_notify('a', 'good'), pg_notify('a', E'\xff'), pg_notify('a', E'\xfe'),
        pg_notify('a', 'lost')";
    database.run(mix).await;
    audience.hear("good").await;
    audience.are_interrupted(begun, AT_ONCE).await;
    audience.are_live_again().await;
    stays(&database, &mut audience).await;
}

/// The server reports the error in the answer to the heartbeat query, and an
/// older server continues the session as if nothing were missing.
#[tokio::test(flavor = "multi_thread")]
async fn f22_one_that_a_beat_meets_costs_one_gap_too() {
    let server = own_server(&[]).await;
    let database = Database::on(&server, "SQL_ASCII").await;
    let patient = [("heartbeat-timeout", "15s")];
    let gateway = TestGateway::with(&database, &patient).await;
    let mut audience = Audience::of(gateway.address).await;
    // A commit that waits for its standby blocks all other notifying commits.
    for sql in [
        "CREATE TABLE kept ()",
        "ALTER SYSTEM SET synchronous_standby_names = 'nobody'",
        "SELECT pg_reload_conf()",
    ] {
        database.run(sql).await;
    }
    let other = Database::at(database.url.clone()).await;
    let sql = r"INSERT INTO kept DEFAULT VALUES; SELECT pg_notify('a', E'\xff')";
    let poisoning = tokio::spawn(async move { other.run(sql).await });
    until("a beat waits", || async {
        let waiting = "SELECT count(*) FROM pg_stat_activity \
                       WHERE wait_event_type = 'Lock' AND query ~ 'pgfan:'";
        let row = database.client.query_one(waiting, &[]).await.unwrap();
        row.get::<_, i64>(0) == 1
    })
    .await;
    let begun = Instant::now();
    database
        .run("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'")
        .await;
    poisoning.await.unwrap();
    // The next event must not hide it.
    database
        .run("SET synchronous_commit = local; NOTIFY a, 'next'")
        .await;
    audience.are_interrupted(begun, AT_ONCE).await;
    audience.are_live_again().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn f22_where_nobody_listens_it_costs_nothing() {
    let database = Database::with_encoding("SQL_ASCII").await;
    let gateway = TestGateway::on(&database).await;
    let mut audience = Audience::of(gateway.address).await;
    database
        .run(r"SELECT pg_notify('elsewhere', E'\xff')")
        .await;
    stays(&database, &mut audience).await;
}

/// The session is the same, also after its next heartbeat.
async fn stays(database: &Database, audience: &mut Audience) {
    let pid = database.listeners().await;
    assert_eq!(pid.len(), 1);
    database.later_beats().await;
    database.notify("a", "still").await;
    audience.hear("still").await;
    assert_eq!(database.listeners().await, pid);
}
