//! Repeated install, and uninstall, which removes everything.

use super::{ORDERS, as_role, catalog, install, plain, role, told, triggers};
use crate::support::{Database, TestGateway, Wire, gateway_process::pgfan, program::run};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_printed_is_what_is_run_and_may_be_run_again() {
    let database = Database::new().await;
    database.run(ORDERS).await;
    database
        .run("CREATE SCHEMA sales; CREATE TABLE sales.orders (id int)")
        .await;
    let before = catalog(&database).await;
    let printed = triggers(&database, &["install", "orders", "Sales.Orders"]).await;
    assert_eq!(printed.status.code(), Some(0), "{printed:?}");
    assert_eq!(printed.stderr, "nothing is changed yet: --commit runs it\n");
    assert_eq!(catalog(&database).await, before);
    database.run(&printed.stdout).await;
    let installed = catalog(&database).await;
    assert_ne!(installed, before);
    database.run(&printed.stdout).await;
    assert_eq!(catalog(&database).await, installed);
    let again = install(&database, &["orders", "sales.orders", "orders"]).await;
    assert_eq!(again, printed.stdout);
    assert_eq!(catalog(&database).await, installed);

    let shown = triggers(&database, &["show", "orders", "sales.orders"]).await;
    let all = triggers(&database, &["show"]).await;
    assert_eq!(shown.stdout, all.stdout);
    for (part, count) in [
        ("CREATE TRIGGER pgfan_", 6),
        ("ENABLE ALWAYS TRIGGER \"pgfan_", 4),
        ("ENABLE REPLICA TRIGGER \"pgfan_", 2),
        ("-- ", 0),
    ] {
        assert_eq!(shown.stdout.matches(part).count(), count, "{shown:?}");
    }
    for (how, disabled) in [("DISABLE", 1), ("ENABLE ALWAYS", 0), ("ENABLE REPLICA", 1)] {
        database
            .run(&format!("ALTER TABLE orders {how} TRIGGER pgfan_change"))
            .await;
        let shown = triggers(&database, &["show", "orders"]).await;
        let told = shown.stdout.matches("-- disabled, it notifies nobody:");
        assert_eq!(told.count(), disabled, "{how}: {shown:?}");
    }

    for (tables, left) in [
        (&["orders"][..], true),
        (&["sales.orders", "orders"][..], false),
    ] {
        let arguments: Vec<_> = ["uninstall"].iter().chain(tables).copied().collect();
        let printed = triggers(&database, &arguments).await;
        assert_eq!(printed.status.code(), Some(0), "{printed:?}");
        database.run(&printed.stdout).await;
        assert_eq!(catalog(&database).await != before, left, "{printed:?}");
    }
    let shown = triggers(&database, &["show", "orders"]).await;
    assert_eq!(
        shown.stdout,
        "-- \"public\".\"orders\": nothing is installed\n"
    );
    let again = triggers(&database, &["uninstall", "orders", "--commit"]).await;
    assert_eq!(again.status.code(), Some(0), "{again:?}");
    assert_eq!(again.stdout, "");
    let nothing = "nothing of pgfan is on \"public\".\"orders\"\n";
    assert_eq!(again.stderr, nothing);
    install(&database, &["sales.orders"]).await;
    let one = ["uninstall", "orders", "sales.orders", "--commit"];
    let one = triggers(&database, &one).await;
    assert_eq!(one.stderr, format!("{nothing}done\n"));
    assert_eq!(catalog(&database).await, before);
}

/// There is one function per schema, and it stays for the other table.
#[tokio::test(flavor = "multi_thread")]
async fn uninstall_leaves_another_table_at_work() {
    let database = Database::new().await;
    database
        .run("CREATE TABLE a (id int); CREATE TABLE b (id int)")
        .await;
    let gateway = TestGateway::on(&database).await;
    let mut reader = gateway.reader(Wire::Sse, "b").await;
    let before = catalog(&database).await;
    install(&database, &["a", "b"]).await;
    for (table, is_told) in [("a", true), ("b", false)] {
        let ended = triggers(&database, &["uninstall", table, "--commit"]).await;
        assert_eq!(ended.status.code(), Some(0), "{ended:?}");
        database
            .run("INSERT INTO a VALUES (1); INSERT INTO b VALUES (1)")
            .await;
        if is_told {
            assert_eq!(told(&mut reader).await, plain("insert", "b"));
        }
    }
    assert_eq!(catalog(&database).await, before);
}

/// The first version had one function per schema, and recognized it by its
/// comment.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_first_version_made_is_known_and_replaced() {
    let database = Database::new().await;
    database.run("CREATE TABLE a (id int)").await;
    let before = catalog(&database).await;
    let old = "CREATE FUNCTION pgfan_notify_change() RETURNS trigger LANGUAGE plpgsql AS \
               'BEGIN RETURN NULL; END'; COMMENT ON FUNCTION pgfan_notify_change() IS \
               'made by pgfan triggers install, removed by pgfan triggers uninstall'; \
               CREATE TRIGGER pgfan_change AFTER INSERT ON a EXECUTE FUNCTION pgfan_notify_change()";
    database.run(old).await;
    let ended = triggers(&database, &["uninstall", "a", "--commit"]).await;
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    assert_eq!(catalog(&database).await, before);
    database.run(old).await;
    install(&database, &["a"]).await;
    let sql = "SELECT proname::text FROM pg_proc WHERE proname LIKE 'pgfan%'";
    let row = database.client.query_one(sql, &[]).await.unwrap();
    assert_eq!(row.get::<_, &str>(0), "pgfan_notify_change_pgfan");
}

/// Triggers of tables that were attached to a parent later.
#[tokio::test(flavor = "multi_thread")]
async fn show_tells_of_triggers_that_no_longer_see_all() {
    let database = Database::new().await;
    database
        .run("CREATE TABLE part (id int); CREATE TABLE heir (id int); CREATE TABLE row (id int)")
        .await;
    install(&database, &["part", "heir"]).await;
    install(&database, &["row", "--changed"]).await;
    let unseen = async || {
        let shown = triggers(&database, &["show"]).await.stdout;
        shown.matches("-- what a statement on its parent").count()
    };
    assert_eq!(unseen().await, 0);
    let sql = "CREATE TABLE parted (id int) PARTITION BY RANGE (id); \
               ALTER TABLE parted ATTACH PARTITION part FOR VALUES FROM (0) TO (10); \
               ALTER TABLE parted ATTACH PARTITION row FOR VALUES FROM (10) TO (20); \
               CREATE TABLE parent (id int); ALTER TABLE heir INHERIT parent";
    database.run(sql).await;
    assert_eq!(unseen().await, 2);
    install(&database, &["heir"]).await;
    assert_eq!(unseen().await, 1);
}

/// Triggers with the default firing mode: an earlier version created them so, and
/// pg_restore --disable-triggers leaves them so.
#[tokio::test(flavor = "multi_thread")]
async fn show_tells_of_triggers_that_see_no_subscription() {
    let database = Database::new().await;
    database.run("CREATE TABLE a (id int PRIMARY KEY)").await;
    for options in [&[][..], &["--keys"]] {
        let arguments: Vec<_> = ["a"].iter().chain(options).copied().collect();
        install(&database, &arguments).await;
        let installed = triggers(&database, &["show"]).await.stdout;
        assert!(!installed.contains("-- "), "{installed}");
        // With keys one trigger fewer is needed, and the previous one is removed.
        let count = installed.matches("CREATE TRIGGER").count();
        assert_eq!(count, 3 - options.len(), "{installed}");
        let restore = "ALTER TABLE a DISABLE TRIGGER ALL; ALTER TABLE a ENABLE TRIGGER ALL";
        database.run(restore).await;
        let shown = triggers(&database, &["show"]).await.stdout;
        let unseen = shown.matches("-- what a subscription brings").count();
        assert_eq!(unseen, count, "{shown}");
        install(&database, &arguments).await;
        assert_eq!(triggers(&database, &["show"]).await.stdout, installed);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_installed_is_named_all_at_once() {
    let database = Database::new().await;
    let sql = "CREATE TABLE keyless (id int); CREATE VIEW view AS SELECT 1 AS id; \
               CREATE TABLE parted (id int PRIMARY KEY) PARTITION BY RANGE (id); \
               CREATE TABLE part PARTITION OF parted FOR VALUES FROM (0) TO (10); \
               CREATE TABLE \"pgfan:x\" (id int PRIMARY KEY); \
               CREATE SCHEMA taken; CREATE TABLE taken.t (id int PRIMARY KEY); \
               CREATE FUNCTION taken.pgfan_notify_change_pgfan() RETURNS trigger LANGUAGE plpgsql \
               AS 'BEGIN RETURN NULL; END'; \
               CREATE TRIGGER pgfan_change AFTER INSERT ON taken.t \
               EXECUTE FUNCTION taken.pgfan_notify_change_pgfan()";
    database.run(sql).await;
    let before = catalog(&database).await;
    let tables = [
        "install",
        "keyless",
        "view",
        "part",
        "pg_class",
        "\"pgfan:x\"",
        "taken.t",
        "--keys",
        "--commit",
    ];
    let ended = triggers(&database, &tables).await;
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    let expected = [
        "\"public\".\"keyless\" has no primary key",
        "\"public\".\"view\" is not a table",
        "\"public\".\"part\" is a partition",
        "\"pg_catalog\".\"pg_class\" is PostgreSQL's own",
        "\"public\".\"pgfan:x\": channels of such a name are the gateway's own",
        "\"taken\".\"pgfan_notify_change_pgfan\"() is there and not made by install",
        "\"taken\".\"t\" has a trigger pgfan_change not made by install",
    ];
    let said: Vec<_> = ended.stderr.lines().collect();
    assert_eq!(said.len(), expected.len(), "{said:?}");
    for (said, expected) in said.iter().zip(expected) {
        assert!(said.starts_with(expected), "{said}");
    }
    assert_eq!(ended.stdout, "");
    let uninstalled = triggers(&database, &["uninstall", "taken.t", "--commit"]).await;
    assert_eq!(uninstalled.status.code(), Some(0), "{uninstalled:?}");
    assert_eq!(catalog(&database).await, before);
    for (arguments, code, named) in [
        (
            vec!["install", "nowhere"],
            1,
            "there is no table \"nowhere\"",
        ),
        (
            vec!["install", "a.b.c"],
            2,
            "more than a schema and a table",
        ),
        (
            vec!["install", "keyless", "--channel", "pgfan:x"],
            2,
            "nobody's",
        ),
        (vec!["install"], 2, "<TABLE>..."),
    ] {
        let ended = triggers(&database, &arguments).await;
        assert_eq!(ended.status.code(), Some(code), "{ended:?}");
        assert!(ended.stderr.contains(named), "{ended:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stands_in_the_way_is_told_and_leaves_nothing_half_done() {
    let database = Database::new().await;
    database
        .run("CREATE TABLE a (id int); CREATE TABLE b (id int)")
        .await;
    let before = catalog(&database).await;
    let holder = Database::at(database.url.clone()).await;
    holder.run("BEGIN; LOCK TABLE b IN SHARE MODE").await;
    let ended = triggers(&database, &["install", "a", "b", "--commit"]).await;
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    assert!(
        ended.stderr.contains("(55P03)") && ended.stderr.contains("try again"),
        "{ended:?}"
    );
    assert_eq!(catalog(&database).await, before);
    holder.run("COMMIT").await;

    let role = database.url.rsplit('/').next().unwrap();
    database
        .run(&format!(
            "CREATE ROLE {role} LOGIN; GRANT CREATE ON SCHEMA public TO {role}"
        ))
        .await;
    let url = database.url.replace("pgfan@", &format!("{role}@"));
    let mut command = pgfan();
    command.args([
        "triggers",
        "install",
        "a",
        "--commit",
        "--database-url",
        &url,
    ]);
    let ended = run(&mut command).await;
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    assert!(ended.stderr.contains("connect as the owner"), "{ended:?}");
    assert_eq!(catalog(&database).await, before);
    // Ownership of the table is not always enough.
    database
        .run(&format!(
            "ALTER TABLE a OWNER TO {role}; REVOKE CREATE ON SCHEMA public FROM {role}, public"
        ))
        .await;
    let ended = run(&mut command).await;
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    let what_it_takes = "(GRANT CREATE ON SCHEMA), or as a superuser\n";
    assert!(ended.stderr.ends_with(what_it_takes), "{ended:?}");
}

/// Neither uses the other's function, and a member of the owner role can install.
#[tokio::test(flavor = "multi_thread")]
async fn each_owner_in_a_schema_has_a_function_of_its_own() {
    let database = Database::new().await;
    let (ann, bob) = (role(&database, "ann").await, role(&database, "bob").await);
    let team = role(&database, "team").await;
    let sql = format!(
        "GRANT {team} TO {ann}; GRANT CREATE ON SCHEMA public TO {ann}, {bob}, {team}; \
         CREATE TABLE a (id int); ALTER TABLE a OWNER TO {team}; \
         CREATE TABLE b (id int); ALTER TABLE b OWNER TO {bob}; \
         CREATE TABLE c (id int); ALTER TABLE c OWNER TO {bob}"
    );
    let before = catalog(&database).await;
    database.run(&sql).await;
    for (role, command, tables) in [
        (&ann, "install", &["a"][..]),
        (&bob, "install", &["b"]),
        (&bob, "install", &["b", "c"]),
        (&bob, "uninstall", &["b"]),
        (&ann, "uninstall", &["a"]),
    ] {
        let mut program = pgfan();
        program.args(["triggers", command, "--commit"]).args(tables);
        let url = as_role(&database, role);
        let ended = run(program.args(["--database-url", &url])).await;
        assert_eq!(ended.status.code(), Some(0), "{ended:?}");
        let sql = "SELECT t.tgrelid::regclass::text, pg_get_userbyid(f.proowner)::text \
                   FROM pg_trigger AS t JOIN pg_proc AS f ON f.oid = t.tgfoid";
        for row in database.client.query(sql, &[]).await.unwrap() {
            let (table, owner): (String, String) = (row.get(0), row.get(1));
            assert_eq!(&owner, if table == "a" { &team } else { &bob }, "{table}");
        }
    }
    // The function of the remaining table stays.
    let sql = "SELECT proname::text FROM pg_proc WHERE proname LIKE 'pgfan%'";
    let row = database.client.query_one(sql, &[]).await.unwrap();
    let left = format!("pgfan_notify_change_{bob}");
    assert_eq!(row.get::<_, String>(0), left);
    let ended = triggers(&database, &["uninstall", "c", "--commit"]).await;
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    database.run("DROP TABLE a, b, c").await;
    let sql = format!("REVOKE ALL ON SCHEMA public FROM {ann}, {bob}, {team}");
    database.run(&sql).await;
    assert_eq!(catalog(&database).await, before);
}
