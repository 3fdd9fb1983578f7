//! F22: payloads that the server cannot send to a session in UTF-8.

use tokio::time::Instant;

use crate::{
    audience::{AT_ONCE, Audience},
    support::{Database, TestGateway},
};

const POISON: &str = r"SELECT pg_notify('a', E'\xff')";

/// SQL_ASCII holds any bytes; what is not UTF-8 ends the session, which costs
/// one gap each time, and nothing more.
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

/// Those that come together are passed together: a new session hears only
/// what is committed after its LISTEN.
#[tokio::test(flavor = "multi_thread")]
async fn f22_many_at_once_cost_one_gap() {
    let database = Database::with_encoding("SQL_ASCII").await;
    let gateway = TestGateway::on(&database).await;
    let mut audience = Audience::of(gateway.address).await;
    let begun = Instant::now();
    // Before the poison comes what can be read, and it is not lost.
    let mix = r"SELECT pg_notify('a', 'good'), pg_notify('a', E'\xff'), pg_notify('a', E'\xfe'),
        pg_notify('a', 'lost')";
    database.run(mix).await;
    audience.hear("good").await;
    audience.are_interrupted(begun, AT_ONCE).await;
    audience.are_live_again().await;
    stays(&database, &mut audience).await;
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

/// One session, which goes on past its next beat.
async fn stays(database: &Database, audience: &mut Audience) {
    let pid = database.listeners().await;
    assert_eq!(pid.len(), 1);
    database.later_beats().await;
    database.notify("a", "still").await;
    audience.hear("still").await;
    assert_eq!(database.listeners().await, pid);
}
