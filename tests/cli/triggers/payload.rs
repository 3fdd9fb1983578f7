//! The payload of a change; no payload makes a write fail.

use serde_json::{Value, json};

use super::{ORDERS, catalog, install, plain, told, triggers, with};
use crate::support::{
    Database, Reader, TestGateway, Wire,
    program::{command, run},
};

#[tokio::test(flavor = "multi_thread")]
async fn each_statement_is_told_once_and_in_pgcachewatchs_words() {
    let database = Database::new().await;
    database.run(ORDERS).await;
    let gateway = TestGateway::on(&database).await;
    let mut reader = gateway.reader(Wire::PgCacheWatch, "orders").await;
    install(&database, &["orders"]).await;
    let mut payloads = Vec::new();
    for (change, operation) in [
        ("INSERT INTO orders VALUES (1), (2), (3)", "insert"),
        ("UPDATE orders SET status = 'paid'", "update"),
        ("DELETE FROM orders WHERE id = 1", "delete"),
        ("TRUNCATE orders", "truncate"),
    ] {
        database.run(change).await;
        let payload = reader.event().await.1;
        let told: Value = serde_json::from_str(&payload).unwrap();
        assert_eq!(told["operation"], operation);
        assert_eq!(told["table"], "orders");
        payloads.push(payload);
    }
    // A statement that has changed no row is reported too.
    database.run("UPDATE orders SET status = 'paid'").await;
    let payload = reader.event().await.1;
    assert!(payload.contains("\"update\""), "{payload}");
    // PGCacheWatch's own model parses them.
    let script = "import json, sys\nfrom pgcachewatch import models\n\
                  for payload in sys.argv[1:]:\n    \
                  event = models.Event.model_validate(json.loads(payload) | {'channel': 'x'})\n    \
                  print(event.operation, event.table, abs(event.latency.total_seconds()) < 60)";
    let python = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/target/clients/venv/bin/python"
    );
    let read = run(command(python).args(["-c", script]).args(&payloads)).await;
    let expected =
        "insert orders True\nupdate orders True\ndelete orders True\ntruncate orders True\n";
    assert_eq!(read.stdout, expected, "{read:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_and_changed_columns_are_told_of_each_row() {
    let database = Database::new().await;
    database.run(ORDERS).await;
    let gateway = TestGateway::on(&database).await;
    let mut reader = gateway.reader(Wire::Sse, "changes").await;
    let arguments = ["orders", "--channel", "changes", "--keys", "--changed"];
    install(&database, &arguments).await;
    let keys = |operation: &str, keys: Value| with(plain(operation, "orders"), "keys", keys);
    let update = |ids: Value, changed: Value| with(keys("update", ids), "changed", changed);
    let one = |id: i32| json!([{"id": id}]);
    for (change, expected) in [
        (
            "INSERT INTO orders VALUES (1, 'new'), (2, 'new')",
            vec![keys("insert", one(1)), keys("insert", one(2))],
        ),
        (
            "UPDATE orders SET status = 'paid', note = 'x' WHERE id = 1",
            vec![update(one(1), json!(["status", "note"]))],
        ),
        (
            "UPDATE orders SET status = 'paid' WHERE id = 1",
            vec![update(one(1), json!([]))],
        ),
        (
            "UPDATE orders SET note = NULL WHERE id = 1",
            vec![update(one(1), json!(["note"]))],
        ),
        (
            "UPDATE orders SET note = 'null' WHERE id = 1",
            vec![update(one(1), json!(["note"]))],
        ),
        (
            "UPDATE orders SET id = 9 WHERE id = 1",
            vec![update(json!([{"id": 1}, {"id": 9}]), json!(["id"]))],
        ),
        ("UPDATE orders SET note = '' WHERE false", vec![]),
        (
            "DELETE FROM orders WHERE id = 2",
            vec![keys("delete", one(2))],
        ),
        ("TRUNCATE orders", vec![plain("truncate", "orders")]),
    ] {
        database.run(change).await;
        for expected in expected {
            assert_eq!(told(&mut reader).await, expected, "{change}");
        }
    }
    // A column that is added later is covered too.
    database.run("ALTER TABLE orders ADD later json").await;
    database.run("INSERT INTO orders VALUES (3)").await;
    assert_eq!(told(&mut reader).await, keys("insert", one(3)));
    database.run("UPDATE orders SET later = '{\"a\": 1}'").await;
    assert_eq!(told(&mut reader).await, update(one(3), json!(["later"])));
    database.run("UPDATE orders SET later = '{\"a\":1}'").await;
    assert_eq!(told(&mut reader).await, update(one(3), json!(["later"])));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_column_that_the_keys_index_only_includes_is_no_key() {
    let database = Database::new().await;
    let sql = "CREATE TABLE t (b text, note text, a int, PRIMARY KEY (a, b) INCLUDE (note))";
    database.run(sql).await;
    let gateway = TestGateway::on(&database).await;
    let mut reader = gateway.reader(Wire::Sse, "t").await;
    install(&database, &["t", "--keys"]).await;
    database
        .run("INSERT INTO t VALUES ('x', 'nobody''s', 1)")
        .await;
    let keys = json!([{"a": 1, "b": "x"}]);
    let expected = with(plain("insert", "t"), "keys", keys);
    assert_eq!(told(&mut reader).await, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_row_is_refused_for_what_cannot_be_told_of_it() {
    let database = Database::new().await;
    let columns: Vec<_> = (0..150)
        .map(|n| format!("a_column_whose_name_is_rather_long_and_has_a_number_{n:03} int"))
        .collect();
    let sql = format!(
        "CREATE TABLE long (id text PRIMARY KEY, n int); \
         CREATE TABLE wide (id int PRIMARY KEY, {})",
        columns.join(", ")
    );
    database.run(&sql).await;
    let gateway = TestGateway::on(&database).await;
    let mut reader = gateway.reader(Wire::WebSocket, "changes").await;
    let arguments = [
        "long",
        "wide",
        "--channel",
        "changes",
        "--keys",
        "--changed",
    ];
    install(&database, &arguments).await;
    let shortened = |operation, table| with(plain(operation, table), "shortened", json!(true));
    let told_of = async |reader: &mut Reader, change: &str| {
        database.run(change).await;
        told(reader).await
    };
    // At the limit, which is in bytes: the text around the key has a fixed
    // length.
    database.run("INSERT INTO long VALUES ('é')").await;
    let around = reader.event().await.1.len() - "é".len();
    let fits = "x".repeat(7999 - around);
    let sql = format!("INSERT INTO long VALUES ('{fits}')");
    let expected = with(plain("insert", "long"), "keys", json!([{"id": fits}]));
    assert_eq!(told_of(&mut reader, &sql).await, expected);
    let sql = format!("INSERT INTO long VALUES ('{fits}é')");
    assert_eq!(
        told_of(&mut reader, &sql).await,
        shortened("insert", "long")
    );
    let sql = "INSERT INTO long VALUES (repeat('x', 100000))";
    assert_eq!(told_of(&mut reader, sql).await, shortened("insert", "long"));
    database.run("INSERT INTO wide VALUES (1)").await;
    told(&mut reader).await;
    let set: Vec<_> = columns.iter().map(|c| c.replace(" int", " = 5")).collect();
    let sql = format!("UPDATE wide SET {}", set.join(", "));
    assert_eq!(
        told_of(&mut reader, &sql).await,
        shortened("update", "wide")
    );
    // The key column has another name now, or a type whose JSON conversion fails.
    database.run("ALTER TABLE long RENAME id TO name").await;
    let sql = "UPDATE long SET n = 1 WHERE name = 'é'";
    assert_eq!(told_of(&mut reader, sql).await, shortened("update", "long"));
    let broken = "CREATE TYPE mood AS ENUM ('good'); \
                  CREATE FUNCTION fails(mood) RETURNS json LANGUAGE plpgsql AS \
                  $$ BEGIN RAISE 'no JSON'; END $$; \
                  CREATE CAST (mood AS json) WITH FUNCTION fails(mood); \
                  ALTER TABLE wide ADD m mood";
    database.run(broken).await;
    let sql = "INSERT INTO wide (id, m) VALUES (2, 'good')";
    assert_eq!(told_of(&mut reader, sql).await, shortened("insert", "wide"));
    let row = database
        .client
        .query_one("SELECT count(*) FROM wide", &[])
        .await;
    assert_eq!(row.unwrap().get::<_, i64>(0), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn any_name_is_held_by_its_quotes() {
    let database = Database::new().await;
    let sql = "CREATE SCHEMA \"Odd \"\"Schema\"; \
               CREATE TABLE \"Odd \"\"Schema\".\"it's $pgfan$ \\ a.b\" \
               (\"Key \"\"1\"\"\" int, \"k'2\\\" text, PRIMARY KEY (\"k'2\\\", \"Key \"\"1\"\"\"))";
    database.run(sql).await;
    let gateway = TestGateway::on(&database).await;
    let channel = "it's $pgfan$ \\ a.b";
    let mut reader = gateway.reader(Wire::Grpc, channel).await;
    let table = "\"Odd \"\"Schema\".\"it's $pgfan$ \\ a.b\"";
    install(&database, &[table, "--keys"]).await;
    database
        .run(&format!("INSERT INTO {table} VALUES (1, 'a}}')"))
        .await;
    let told = told(&mut reader).await;
    assert_eq!(told["schema"], "Odd \"Schema");
    assert_eq!(told["table"], channel);
    assert_eq!(told["keys"], json!([{"k'2\\": "a}", "Key \"1\"": 1}]));
    let before = catalog(&database).await;
    let ended = triggers(&database, &["uninstall", table, "--commit"]).await;
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    assert_ne!(catalog(&database).await, before);
    let shown = triggers(&database, &["show"]).await;
    assert_eq!((shown.status.code(), shown.stdout.as_str()), (Some(0), ""));
    let told = "no table has a trigger of pgfan";
    assert!(shown.stderr.contains(told), "{shown:?}");
}

/// Rows that are written through the parent, or directly into a partition.
#[tokio::test(flavor = "multi_thread")]
async fn a_partitioned_table_tells_of_every_partition() {
    let database = Database::new().await;
    let sql = "CREATE TABLE parted (id int PRIMARY KEY) PARTITION BY RANGE (id); \
               CREATE TABLE low PARTITION OF parted FOR VALUES FROM (0) TO (10)";
    database.run(sql).await;
    let gateway = TestGateway::on(&database).await;
    let mut reader = gateway.reader(Wire::Sse, "parted").await;
    let ended = triggers(&database, &["install", "parted", "--commit"]).await;
    assert!(
        ended
            .stderr
            .contains("note: \"public\".\"parted\" is partitioned: "),
        "{ended:?}"
    );
    database
        .run("CREATE TABLE high PARTITION OF parted FOR VALUES FROM (10) TO (20)")
        .await;
    let insert = plain("insert", "parted");
    // Equal notifications of one transaction are one event.
    database
        .run("INSERT INTO parted SELECT generate_series(1, 15)")
        .await;
    assert_eq!(told(&mut reader).await, insert);
    database.run("DELETE FROM high").await;
    assert_eq!(told(&mut reader).await, plain("delete", "parted"));
    database.run("INSERT INTO low VALUES (0)").await;
    assert_eq!(told(&mut reader).await, insert);
    database.run("TRUNCATE parted").await;
    assert_eq!(told(&mut reader).await, plain("truncate", "parted"));
    install(&database, &["parted", "--keys"]).await;
    database.run("INSERT INTO high VALUES (12)").await;
    assert_eq!(
        told(&mut reader).await,
        with(insert, "keys", json!([{"id": 12}]))
    );
}

/// A statement on its parent does not fire the table's own triggers.
#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_inherits_tells_of_its_rows_whoever_is_named() {
    let database = Database::new().await;
    let sql = "CREATE TABLE parent (id int); CREATE TABLE child () INHERITS (parent)";
    database.run(sql).await;
    let gateway = TestGateway::on(&database).await;
    let mut reader = gateway.reader(Wire::Sse, "child").await;
    install(&database, &["child"]).await;
    for (change, operation) in [
        ("INSERT INTO child VALUES (1), (2)", "insert"),
        ("UPDATE parent SET id = id + 1", "update"),
        ("DELETE FROM parent WHERE id = 2", "delete"),
        ("TRUNCATE parent", "truncate"),
    ] {
        database.run(change).await;
        // Equal notifications of one transaction are one event.
        assert_eq!(told(&mut reader).await, plain(operation, "child"));
    }
}

/// The payload has all digits of a number, even if the session's setting omits
/// some.
#[tokio::test(flavor = "multi_thread")]
async fn a_number_is_told_with_all_its_digits() {
    let database = Database::new().await;
    let sql = "CREATE TABLE t (id float8 PRIMARY KEY, n float8); SET extra_float_digits = -15";
    database.run(sql).await;
    let gateway = TestGateway::on(&database).await;
    let mut reader = gateway.reader(Wire::Sse, "t").await;
    install(&database, &["t", "--keys", "--changed"]).await;
    let keys = json!([{"id": 1.25}]);
    database.run("INSERT INTO t VALUES (1.25, 1.25)").await;
    let inserted = with(plain("insert", "t"), "keys", keys.clone());
    assert_eq!(told(&mut reader).await, inserted);
    database.run("UPDATE t SET n = 1.5").await;
    let updated = with(plain("update", "t"), "keys", keys);
    let updated = with(updated, "changed", json!(["n"]));
    assert_eq!(told(&mut reader).await, updated);
}

/// The role of a subscription's worker, and of a session that loads data without
/// checks.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_as_a_replica_is_told_too() {
    let database = Database::new().await;
    let sql = "CREATE TABLE plain (id int PRIMARY KEY); \
               CREATE TABLE parted (id int PRIMARY KEY) PARTITION BY RANGE (id); \
               CREATE TABLE low PARTITION OF parted FOR VALUES FROM (0) TO (10)";
    database.run(sql).await;
    let gateway = TestGateway::on(&database).await;
    let mut reader = gateway.reader(Wire::Sse, "all").await;
    install(&database, &["plain", "parted", "--channel", "all"]).await;
    let sql = "CREATE TABLE high PARTITION OF parted FOR VALUES FROM (10) TO (20); \
               SET session_replication_role = replica";
    database.run(sql).await;
    for (change, operation, table) in [
        ("INSERT INTO plain VALUES (1)", "insert", "plain"),
        ("TRUNCATE plain", "truncate", "plain"),
        ("INSERT INTO parted VALUES (1)", "insert", "parted"),
        ("DELETE FROM low", "delete", "parted"),
        ("INSERT INTO high VALUES (11)", "insert", "parted"),
        ("TRUNCATE parted", "truncate", "parted"),
    ] {
        database.run(change).await;
        assert_eq!(told(&mut reader).await, plain(operation, table), "{change}");
    }
}

/// PostgreSQL 18 has columns that no trigger can see.
#[tokio::test(flavor = "multi_thread")]
async fn a_generated_column_changes_with_the_others() {
    let database = Database::new().await;
    let version = "SELECT current_setting('server_version_num')::int >= 180000";
    let has_virtual: bool = database
        .client
        .query_one(version, &[])
        .await
        .unwrap()
        .get(0);
    let gateway = TestGateway::on(&database).await;
    for kind in ["STORED", "VIRTUAL"] {
        if kind == "VIRTUAL" && !has_virtual {
            continue;
        }
        let table = kind.to_lowercase();
        let sql = format!(
            "CREATE TABLE {table} (id int PRIMARY KEY, n int, twice int GENERATED ALWAYS AS (n * 2) {kind})"
        );
        database.run(&sql).await;
        let mut reader = gateway.reader(Wire::Sse, &table).await;
        install(&database, &[&table, "--changed"]).await;
        database
            .run(&format!("INSERT INTO {table} VALUES (1, 1)"))
            .await;
        assert_eq!(told(&mut reader).await, plain("insert", &table));
        for (n, changed) in [(1, json!([])), (2, json!(["n", "twice"]))] {
            database.run(&format!("UPDATE {table} SET n = {n}")).await;
            let expected = with(plain("update", &table), "changed", changed);
            assert_eq!(told(&mut reader).await, expected);
        }
    }
}

/// The writing role has no rights on the function, and sets its own search path.
#[tokio::test(flavor = "multi_thread")]
async fn a_writer_needs_no_more_than_before_and_changes_nothing() {
    let database = Database::new().await;
    let role = database.url.rsplit('/').next().unwrap();
    let sql = format!(
        "{ORDERS}; CREATE ROLE {role}; GRANT INSERT, UPDATE, SELECT ON orders TO {role}; \
         CREATE SCHEMA evil; GRANT USAGE ON SCHEMA evil TO {role}; \
         CREATE FUNCTION evil.lower(text) RETURNS text LANGUAGE sql AS 'SELECT ''forged'''; \
         CREATE FUNCTION evil.pg_notify(text, text) RETURNS void LANGUAGE sql AS ''"
    );
    database.run(&sql).await;
    let gateway = TestGateway::on(&database).await;
    let mut reader = gateway.reader(Wire::Sse, "orders").await;
    install(&database, &["orders", "--keys", "--changed"]).await;
    database
        .run("REVOKE ALL ON FUNCTION pgfan_notify_change_pgfan() FROM PUBLIC")
        .await;
    let sql = format!("SET ROLE {role}; SET search_path = evil, pg_catalog, public");
    database.run(&sql).await;
    database.run("INSERT INTO orders VALUES (1)").await;
    let expected = with(plain("insert", "orders"), "keys", json!([{"id": 1}]));
    assert_eq!(told(&mut reader).await, expected);
}
