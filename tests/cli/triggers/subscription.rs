//! Changes that arrive by logical replication, through its worker.

use super::{install, plain, told};
use crate::support::{Database, TestGateway, Wire, own_server};

#[tokio::test(flavor = "multi_thread")]
async fn what_a_subscription_brings_is_told() {
    let server = own_server(&[("wal_level", "logical")]).await;
    let publisher = Database::on(&server, "UTF8").await;
    let subscriber = Database::on(&server, "UTF8").await;
    let sql = "CREATE TABLE plain (id int PRIMARY KEY); CREATE TABLE keyed (id int PRIMARY KEY)";
    for database in [&publisher, &subscriber] {
        database.run(sql).await;
    }
    let gateway = TestGateway::on(&subscriber).await;
    let mut reader = gateway.reader(Wire::Sse, "all").await;
    install(&subscriber, &["plain", "--channel", "all"]).await;
    install(&subscriber, &["keyed", "--keys", "--channel", "all"]).await;
    // On one server a subscription cannot create its slot itself.
    for sql in [
        "CREATE PUBLICATION p FOR ALL TABLES",
        "SELECT pg_create_logical_replication_slot('s', 'pgoutput')",
    ] {
        publisher.run(sql).await;
    }
    let subscribe = format!(
        "CREATE SUBSCRIPTION s CONNECTION '{}' PUBLICATION p \
         WITH (create_slot = false, copy_data = false)",
        publisher.url
    );
    subscriber.run(&subscribe).await;
    for (change, operation, table) in [
        ("INSERT INTO plain VALUES (1), (2)", "insert", "plain"),
        ("UPDATE plain SET id = id + 2", "update", "plain"),
        ("DELETE FROM plain", "delete", "plain"),
        ("INSERT INTO keyed VALUES (1)", "insert", "keyed"),
        ("TRUNCATE plain", "truncate", "plain"),
    ] {
        publisher.run(change).await;
        let mut told = told(&mut reader).await;
        told.as_object_mut().unwrap().remove("keys");
        assert_eq!(told, plain(operation, table), "{change}");
    }
}
