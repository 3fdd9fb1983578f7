//! F12: a PgBouncer in between.

use std::time::Duration;

use tokio::time::Instant;

use crate::{
    audience::{AT_ONCE, Audience, newcomers_are_turned_away},
    support::{Database, TestGateway, gateway_process::GatewayProcess, own_server, pooler::Pooler},
};

/// It accepts LISTEN, but no notification arrives.
async fn is_named_and_nobody_is_served(mode: &str) {
    let server = own_server(&[]).await;
    let pooler = Pooler::in_front_of(&server, mode).await;
    let variables = [
        ("PGFAN_DATABASE_URL", pooler.url.as_str()),
        ("PGFAN_SUBSCRIBE_TIMEOUT", "300ms"),
    ];
    let begun = Instant::now();
    let mut gateway = GatewayProcess::with_variables(&variables).await;
    for round in 0..2 {
        gateway
            .logged("pooler in transaction or statement mode")
            .await;
        let took = begun.elapsed();
        assert!(round > 0 || took < Duration::from_secs(10), "{took:?}");
        newcomers_are_turned_away(gateway.address).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn f12_a_pooler_in_transaction_mode_is_named() {
    is_named_and_nobody_is_served("transaction").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn f12_a_pooler_in_statement_mode_is_named() {
    is_named_and_nobody_is_served("statement").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn f12_a_pooler_in_session_mode_is_as_good_as_none() {
    let server = own_server(&[]).await;
    let pooler = Pooler::in_front_of(&server, "session").await;
    let gateway = TestGateway::starting(&pooler.url, &[]);
    gateway.ready().await;
    let mut audience = Audience::of(gateway.address).await;
    let database = Database::at(server.url()).await;
    for n in 0..20 {
        database.notify("a", &n.to_string()).await;
        audience.hear(&n.to_string()).await;
    }
    let lost = Instant::now();
    assert!(database.terminate().await >= 1);
    audience.are_interrupted(lost, AT_ONCE).await;
    audience.are_live_again().await;
    database.notify("a", "again").await;
    audience.hear("again").await;
}
