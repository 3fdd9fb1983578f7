//! Rows that are added or removed with a partition, or with a table that inherits, and a
//! server that refuses a part of install.

use super::{as_role, catalog, install, plain, role, told, triggers, with_role};
use crate::support::{Database, Reader, TestGateway, Wire, gateway_process::pgfan, program::run};

const PARTED: &str = "CREATE TABLE parted (id int PRIMARY KEY) PARTITION BY RANGE (id); \
    CREATE TABLE low PARTITION OF parted FOR VALUES FROM (0) TO (10); \
    CREATE TABLE middle PARTITION OF parted FOR VALUES FROM (10) TO (20) PARTITION BY RANGE (id); \
    CREATE TABLE leaf PARTITION OF middle FOR VALUES FROM (10) TO (15)";

/// The statement is reported like one on the whole table, and nothing else before it.
async fn is_told(database: &Database, reader: &mut Reader, sql: &str, operation: &str) {
    database
        .client
        .batch_execute(sql)
        .await
        .unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    assert_eq!(told(reader).await, plain(operation, "parted"), "{sql}");
}

#[tokio::test(flavor = "multi_thread")]
async fn truncate_of_a_partition_is_told_and_show_names_those_that_are_not() {
    let database = Database::new().await;
    database.run(PARTED).await;
    let before = catalog(&database).await;
    let gateway = TestGateway::on(&database).await;
    let mut reader = gateway.reader(Wire::Sse, "parted").await;
    install(&database, &["parted", "--keys"]).await;
    for sql in [
        "TRUNCATE low",
        "TRUNCATE leaf",
        "TRUNCATE middle",
        "TRUNCATE parted",
        "SET session_replication_role = replica; TRUNCATE low; RESET session_replication_role",
    ] {
        // Equal notifications of a transaction are one event.
        is_told(&database, &mut reader, sql, "truncate").await;
    }
    let high = "CREATE TABLE high PARTITION OF parted FOR VALUES FROM (20) TO (30)";
    database.run(high).await;
    let remark = "-- \"public\".\"high\", a partition of it: TRUNCATE of it is told to nobody: \
                  install again\n";
    let shown = triggers(&database, &["show"]).await.stdout;
    assert!(shown.contains(remark), "{shown}");
    let others = "-- \"public\".\"parted\": who attaches, detaches or drops one partition, or \
                  truncates a later one, notifies nobody: a superuser can install with \
                  --event-trigger\n";
    assert!(shown.contains(others), "{shown}");
    install(&database, &["parted", "--keys"]).await;
    let shown = triggers(&database, &["show"]).await.stdout;
    assert!(!shown.contains("a partition of it: "), "{shown}");
    is_told(&database, &mut reader, "TRUNCATE high", "truncate").await;
    // It keeps its trigger, and show reports that.
    database
        .run("ALTER TABLE parted DETACH PARTITION high")
        .await;
    let shown = triggers(&database, &["show"]).await.stdout;
    assert!(
        shown.contains("-- of a table that this one is no longer a part of"),
        "{shown}"
    );
    let ended = triggers(&database, &["uninstall", "parted", "high", "--commit"]).await;
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    database.run("DROP TABLE high").await;
    assert_eq!(catalog(&database).await, before);
}

/// A partition of another owner gets no trigger, and is named in a message.
#[tokio::test(flavor = "multi_thread")]
async fn a_partition_that_takes_no_trigger_is_named() {
    let database = Database::new().await;
    let (ann, bob) = (role(&database, "ann").await, role(&database, "bob").await);
    let sql = format!(
        "{PARTED}; ALTER TABLE parted OWNER TO {ann}; ALTER TABLE low OWNER TO {bob}; \
         GRANT TRIGGER ON low TO {ann}; \
         ALTER TABLE middle OWNER TO {ann}; ALTER TABLE leaf OWNER TO {ann}; \
         GRANT CREATE ON SCHEMA public TO {ann}"
    );
    database.run(&sql).await;
    let before = catalog(&database).await;
    let url = as_role(&database, &ann);
    let as_ann = async |arguments: &[&str]| {
        let mut command = pgfan();
        command.arg("triggers").args(arguments);
        run(command.args(["--database-url", &url])).await
    };
    let ended = as_ann(&["install", "parted", "--commit"]).await;
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    let note = "note: TRUNCATE of \"public\".\"low\", a partition of \"public\".\"parted\", is told \
                to nobody: it takes no trigger, or is another owner's\n";
    assert!(ended.stderr.contains(note), "{ended:?}");
    let refused = as_ann(&["install", "parted", "--event-trigger", "--commit"]).await;
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    assert!(
        refused
            .stderr
            .contains("event triggers take a superuser (PGUSER)"),
        "{refused:?}"
    );
    let ended = as_ann(&["uninstall", "parted", "--commit"]).await;
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    assert_eq!(catalog(&database).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_trigger_tells_of_partitions_that_come_and_go() {
    let database = Database::new().await;
    let before = catalog(&database).await;
    let create = format!("{PARTED}; CREATE TABLE plain (id int)");
    database.run(&create).await;
    let gateway = TestGateway::on(&database).await;
    let mut reader = gateway.reader(Wire::Sse, "parted").await;
    let arguments = ["install", "parted", "plain", "--event-trigger", "--commit"];
    for _ in 0..2 {
        let ended = triggers(&database, &arguments).await;
        assert_eq!(ended.stderr, "done\n");
    }
    let shown = triggers(&database, &["show"]).await.stdout;
    let remark = "-- \"public\".\"parted\": event triggers report partitions that are attached";
    assert!(shown.contains(remark), "{shown}");
    for sql in [
        // A partition that was added later, in either way.
        "CREATE TABLE high PARTITION OF parted FOR VALUES FROM (20) TO (30); TRUNCATE high",
        "CREATE TABLE loose (id int PRIMARY KEY); INSERT INTO loose VALUES (30); \
         ALTER TABLE parted ATTACH PARTITION loose FOR VALUES FROM (30) TO (40)",
        "TRUNCATE loose",
        "ALTER TABLE parted DETACH PARTITION loose",
        "ALTER TABLE middle DETACH PARTITION leaf",
        "DROP TABLE low",
        "CREATE SCHEMA other CREATE TABLE last PARTITION OF public.parted FOR VALUES FROM (50) TO (60); \
         DROP SCHEMA other CASCADE",
        "BEGIN; CREATE TABLE most PARTITION OF parted FOR VALUES FROM (40) TO (50); \
         SAVEPOINT s; DROP TABLE most; ROLLBACK TO s; DROP TABLE most; COMMIT",
        "DO 'BEGIN DROP TABLE high; END'",
    ] {
        is_told(&database, &mut reader, sql, "truncate").await;
    }
    // Two transactions; the rows are gone after the first.
    let gone = "CREATE TABLE gone PARTITION OF parted FOR VALUES FROM (60) TO (70)";
    database.run(gone).await;
    let sql = "ALTER TABLE parted DETACH PARTITION gone CONCURRENTLY";
    is_told(&database, &mut reader, sql, "truncate").await;
    assert_eq!(told(&mut reader).await, plain("truncate", "parted"));
    // DDL that changes no rows, or is rolled back, is not reported, whatever role runs it.
    let owner = role(&database, "owner").await;
    let quiet = format!(
        "ALTER TABLE parted ADD note text; CREATE TABLE other (id int); DROP TABLE other; \
         ALTER TABLE parted OWNER TO {owner}; GRANT CREATE ON SCHEMA public TO {owner}"
    );
    database.run(&quiet).await;
    let undone = "BEGIN; DROP TABLE parted; ROLLBACK";
    database.run(undone).await;
    let other = with_role(&database, &owner).await;
    other
        .run("CREATE TABLE new PARTITION OF parted FOR VALUES FROM (70) TO (80)")
        .await;
    is_told(&other, &mut reader, "TRUNCATE new", "truncate").await;
    is_told(&other, &mut reader, "DROP TABLE new", "truncate").await;
    is_told(&other, &mut reader, "DROP TABLE parted", "truncate").await;

    let kept = triggers(&database, &["uninstall", "plain", "--commit"]).await;
    assert_eq!(
        kept.stderr,
        "the event triggers stay: uninstall --event-trigger removes them\ndone\n"
    );
    let ended = triggers(&database, &["uninstall", "--event-trigger", "--commit"]).await;
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    let left = format!(
        "DROP TABLE plain, loose, leaf, gone; DROP FUNCTION pgfan_notify_change_pgfan(); \
         REVOKE ALL ON SCHEMA public FROM {owner}"
    );
    database.run(&left).await;
    assert_eq!(catalog(&database).await, before);
    let ended = triggers(&database, &["uninstall", "--event-trigger", "--commit"]).await;
    assert_eq!(
        (ended.status.code(), &*ended.stderr),
        (Some(0), "there are no event triggers of pgfan\n")
    );
}

/// A stranger has created triggers with pgfan's names and malformed arguments.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_trigger_keeps_no_command_from_being_run_and_hears_no_stranger() {
    let database = Database::new().await;
    let eve = role(&database, "eve").await;
    let sql = format!("{PARTED}; GRANT CREATE ON SCHEMA public TO {eve}");
    database.run(&sql).await;
    let gateway = TestGateway::on(&database).await;
    let mut reader = gateway.reader(Wire::Sse, "parted").await;
    install(&database, &["parted", "--event-trigger"]).await;
    let stranger = with_role(&database, &eve).await;
    let name = "x".repeat(64);
    let forged = format!(
        "CREATE FUNCTION pgfan_notify_change_x() RETURNS trigger LANGUAGE plpgsql AS \
         $$-- made by pgfan triggers install, removed by pgfan triggers uninstall\n\
         BEGIN RETURN NULL; END$$; \
         CREATE TABLE a (id int); CREATE TABLE b (id int); CREATE TABLE c (id int); \
         CREATE TRIGGER pgfan_emptied AFTER TRUNCATE ON a EXECUTE FUNCTION pgfan_notify_change_x(); \
         CREATE TRIGGER pgfan_emptied AFTER TRUNCATE ON b EXECUTE FUNCTION pgfan_notify_change_x('', ''); \
         CREATE TRIGGER pgfan_emptied AFTER TRUNCATE ON c EXECUTE FUNCTION pgfan_notify_change_x('{name}', '')"
    );
    stranger.run(&forged).await;
    // A session's own value of this setting is not trusted.
    database.run("SET pgfan.before = 'no JSON'").await;
    is_told(&database, &mut reader, "DROP TABLE low", "truncate").await;
    stranger.run("DROP TABLE a, b, c").await;
    is_told(&database, &mut reader, "DROP TABLE leaf", "truncate").await;
    for (sql, said) in [
        (
            "ALTER EVENT TRIGGER pgfan_ddl_ended DISABLE",
            "the event triggers are disabled or changed",
        ),
        (
            "ALTER EVENT TRIGGER pgfan_ddl_ended ENABLE",
            "event triggers report partitions",
        ),
        (
            "DROP EVENT TRIGGER pgfan_ddl_starts",
            "the event triggers are disabled or changed",
        ),
    ] {
        database.run(sql).await;
        let shown = triggers(&database, &["show"]).await.stdout;
        assert!(shown.contains(said), "{sql}: {shown}");
    }
}

/// Each of them has its own triggers: a statement through the parent is reported on all
/// channels.
#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_inherits_is_named_where_nobody_watches_it() {
    let database = Database::new().await;
    let sql = "CREATE TABLE parted (id int); CREATE TABLE heir () INHERITS (parted); \
               CREATE TABLE grandchild () INHERITS (heir); CREATE TABLE loose (id int)";
    database.run(sql).await;
    let gateway = TestGateway::on(&database).await;
    let mut reader = gateway.reader(Wire::Sse, "parted").await;
    let named = |text: &str, name: &str| {
        let remark = format!(
            "\"public\".\"{name}\" inherits from \"public\".\"parted\": who changes its rows \
             notifies nobody: install on it too"
        );
        text.contains(&remark)
    };
    let both = triggers(&database, &["install", "parted", "heir"]).await;
    assert!(
        !named(&both.stderr, "heir") && named(&both.stderr, "grandchild"),
        "{both:?}"
    );
    let ended = triggers(
        &database,
        &["install", "parted", "--event-trigger", "--commit"],
    )
    .await;
    assert!(
        named(&ended.stderr, "heir") && named(&ended.stderr, "grandchild"),
        "{ended:?}"
    );
    let shown = triggers(&database, &["show"]).await.stdout;
    assert!(
        named(&shown, "heir") && named(&shown, "grandchild"),
        "{shown}"
    );
    for sql in [
        "DROP TABLE grandchild",
        "ALTER TABLE heir NO INHERIT parted",
        "ALTER TABLE loose INHERIT parted",
    ] {
        is_told(&database, &mut reader, sql, "truncate").await;
    }
    install(&database, &["loose"]).await;
    let shown = triggers(&database, &["show"]).await.stdout;
    assert!(!shown.contains("inherits from"), "{shown}");
}

/// TimescaleDB refuses it for hypertables, by an event trigger that blocks the same command.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_refuses_enable_always_is_watched_without() {
    let database = Database::new().await;
    let sql = format!(
        "{PARTED}; CREATE TABLE plain (id int PRIMARY KEY); \
         CREATE FUNCTION refuse() RETURNS event_trigger LANGUAGE plpgsql AS $$BEGIN \
         RAISE EXCEPTION USING ERRCODE = '0A000', \
         MESSAGE = 'ENABLE ALWAYS TRIGGER is not supported'; END$$"
    );
    database.run(&sql).await;
    let refuse = "CREATE EVENT TRIGGER refuse ON ddl_command_start WHEN TAG IN ('ALTER TABLE') \
                  EXECUTE FUNCTION refuse()";
    let before = catalog(&database).await;
    database.run(refuse).await;
    let gateway = TestGateway::on(&database).await;
    let mut reader = gateway.reader(Wire::Sse, "all").await;
    let arguments = ["install", "plain", "parted", "--channel", "all", "--commit"];
    let ended = triggers(&database, &arguments).await;
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    for table in ["plain", "parted"] {
        let note = format!(
            "note: \"public\".\"{table}\": this server refuses ENABLE ALWAYS TRIGGER: what \
             replication brings is not reported\n"
        );
        assert!(ended.stderr.contains(&note), "{ended:?}");
    }
    let shown = triggers(&database, &["show"]).await.stdout;
    let remarks = shown
        .matches("-- what a subscription brings it tells nobody")
        .count();
    assert_eq!(remarks, 4, "{shown}");
    for (sql, operation, table) in [
        ("INSERT INTO plain VALUES (1), (2)", "insert", "plain"),
        ("TRUNCATE plain", "truncate", "plain"),
        ("INSERT INTO parted VALUES (1)", "insert", "parted"),
        ("TRUNCATE low", "truncate", "parted"),
    ] {
        database.run(sql).await;
        assert_eq!(told(&mut reader).await, plain(operation, table), "{sql}");
    }
    let ended = triggers(&database, &["uninstall", "plain", "parted", "--commit"]).await;
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    database.run("DROP EVENT TRIGGER refuse").await;
    assert_eq!(catalog(&database).await, before);
    // When the server no longer refuses it, the next install uses it.
    install(&database, &["plain", "parted", "--channel", "all"]).await;
    let shown = triggers(&database, &["show"]).await.stdout;
    assert!(!shown.contains("-- what a subscription"), "{shown}");
}
