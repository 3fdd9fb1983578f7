//! F8, F11 and F26: standbys.

use tokio::time::Instant;

use crate::{
    audience::{AT_ONCE, Audience, newcomers_are_turned_away},
    support::{
        Database, TestGateway, gateway_process::GatewayProcess, own_server, post, promote,
        standby_of, until,
    },
};

#[tokio::test(flavor = "multi_thread")]
async fn f08_a_synchronous_standby_takes_over() {
    let mut primary = own_server(&[]).await;
    let standby = standby_of(&primary).await;
    let database = Database::at(primary.url()).await;
    database
        .run("ALTER SYSTEM SET synchronous_standby_names = '*'")
        .await;
    database.run("SELECT pg_reload_conf()").await;
    until("the standby is synchronous", || async {
        let sql = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'";
        let row = database.client.query_one(sql, &[]).await.unwrap();
        row.get::<_, i64>(0) == 1
    })
    .await;
    let (first, second) = (primary.port(), standby.port());
    let url = format!("postgresql://pgfan@127.0.0.1:{first},127.0.0.1:{second}/postgres");
    let url = format!("{url}?target_session_attrs=read-write");
    let gateway = TestGateway::starting(&url, &[]);
    gateway.ready().await;
    let mut audience = Audience::of(gateway.address).await;
    database
        .run("CREATE TABLE kept (); NOTIFY a, 'before'")
        .await;
    audience.hear("before").await;
    let lost = Instant::now();
    primary.kill().await.unwrap();
    audience.are_interrupted(lost, AT_ONCE).await;
    let database = promote(&standby).await;
    audience.are_live_again().await;
    database.run("TABLE kept; NOTIFY a, 'after'").await;
    audience.hear("after").await;
}

/// Commits of applications wait for the standby; a transaction that only
/// notifies writes nothing and does not wait, so the heartbeat continues.
#[tokio::test(flavor = "multi_thread")]
async fn f26_a_synchronous_standby_that_is_away_does_not_silence_the_gateway() {
    let server = own_server(&[]).await;
    let database = Database::at(server.url()).await;
    let settings = [("allow-publish", "on")];
    let gateway = TestGateway::starting(&server.url(), &settings);
    gateway.ready().await;
    let mut audience = Audience::of(gateway.address).await;
    database
        .run("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
        .await;
    database.run("SELECT pg_reload_conf()").await;
    database.later_beats().await;
    let answer = post(gateway.address, "/v1/channels/a", "published").await;
    assert_eq!(answer.status, 204);
    audience.hear("published").await;
    let lost = Instant::now();
    assert!(database.terminate().await >= 1);
    audience.are_interrupted(lost, AT_ONCE).await;
    audience.are_live_again().await;
    database
        .run("SET synchronous_commit = local; NOTIFY a, 'again'")
        .await;
    audience.hear("again").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn f11_a_standby_alone_is_named_and_served_once_it_is_promoted() {
    let primary = own_server(&[]).await;
    let standby = standby_of(&primary).await;
    let url = standby.url();
    let variables = [
        ("PGFAN_DATABASE_URL", url.as_str()),
        ("PGFAN_SUBSCRIBE_TIMEOUT", "300ms"),
    ];
    let mut gateway = GatewayProcess::with_variables(&variables).await;
    for _ in 0..2 {
        let line = gateway.logged("25006").await;
        let place = format!("127.0.0.1:{}/postgres is a standby", standby.port());
        assert!(line.contains(&place), "{line}");
        newcomers_are_turned_away(gateway.address).await;
    }
    let database = promote(&standby).await;
    gateway.ready().await;
    let mut audience = Audience::of(gateway.address).await;
    database.notify("a", "at last").await;
    audience.hear("at last").await;
}
