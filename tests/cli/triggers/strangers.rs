//! Attack 25: a role that may only create objects in the schema prepares traps for a
//! superuser who installs, shows or uninstalls.

use serde_json::json;

use super::{ORDERS, as_role, catalog, install, plain, role, told, triggers, with, with_role};
use crate::support::{
    Database, TestGateway, Wire,
    gateway_process::pgfan,
    program::{Ended, run},
};

/// Comment by which both versions of install mark their function.
const MARK: &str = "made by pgfan triggers install, removed by pgfan triggers uninstall";

/// The schema is open to `eve`, the table belongs to `bob`; returns their names.
async fn world(database: &Database) -> [String; 2] {
    let [eve, bob] = [role(database, "eve").await, role(database, "bob").await];
    let sql = format!(
        "{ORDERS}; ALTER TABLE orders OWNER TO {bob}; \
         GRANT CREATE ON SCHEMA public TO {eve}, {bob}"
    );
    database.run(&sql).await;
    [eve, bob]
}

/// A function that gives the attacker all rights when another role runs it.
fn trap(function: &str, eve: &str) -> String {
    format!(
        "CREATE OR REPLACE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql AS \
         $$-- {MARK}\nBEGIN ALTER ROLE {eve} SUPERUSER; RETURN NULL; END$$; \
         COMMENT ON FUNCTION {function}() IS '{MARK}'"
    )
}

async fn is_superuser(database: &Database, role: &str) -> bool {
    let sql = "SELECT rolsuper FROM pg_roles WHERE rolname = $1";
    let row = database.client.query_one(sql, &[&role]).await.unwrap();
    row.get(0)
}

async fn psql_like(database: &Database, sql: &str) -> Result<(), String> {
    let ran = database.client.batch_execute(sql).await;
    let error = ran
        .err()
        .map(|error| error.as_db_error().unwrap().message().to_owned());
    let _ = database.client.batch_execute("ROLLBACK").await;
    error.map_or(Ok(()), Err)
}

#[tokio::test(flavor = "multi_thread")]
async fn a25_a_function_that_a_stranger_made_first_is_not_taken_over() {
    let database = Database::new().await;
    let [eve, bob] = world(&database).await;
    // Printed before the attack, and run afterwards.
    let printed = triggers(&database, &["install", "orders", "--keys"]).await;
    let stranger = with_role(&database, &eve).await;
    let own = format!("pgfan_notify_change_{bob}");
    // The function name of the first version, which had one function for all.
    for function in ["pgfan_notify_change", &own] {
        stranger.run(&trap(function, &eve)).await;
    }
    let before = catalog(&database).await;
    let ended = triggers(&database, &["install", "orders", "--keys", "--commit"]).await;
    let told = format!(
        "\"public\".\"{own}\"() belongs to \"{eve}\", and \"public\".\"orders\" to \"{bob}\": \
         what another role has made is not taken over"
    );
    let is_refused = ended.status.code() == Some(1) && ended.stderr.starts_with(&told);
    // Second step of the attack, if the function had been accepted.
    for function in ["pgfan_notify_change", &own] {
        stranger.run(&trap(function, &eve)).await;
    }
    database.run("INSERT INTO orders VALUES (1)").await;
    assert!(!is_superuser(&database, &eve).await, "{ended:?}");
    assert!(is_refused, "{ended:?}");
    let refused = psql_like(&database, &printed.stdout).await.unwrap_err();
    assert!(refused.contains("does not belong to"), "{refused}");
    assert_eq!(catalog(&database).await, before);
    // A function of the right owner that was not made by install.
    let sql = format!("DROP FUNCTION {own}()");
    stranger.run(&sql).await;
    let owner = with_role(&database, &bob).await;
    let sql = format!(
        "CREATE FUNCTION {own}() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'"
    );
    owner.run(&sql).await;
    let refused = psql_like(&database, &printed.stdout).await.unwrap_err();
    assert!(refused.contains("was not made by pgfan"), "{refused}");
    owner.run(&format!("DROP FUNCTION {own}()")).await;

    install(&database, &["orders", "--keys"]).await;
    let sql = "SELECT pg_get_userbyid(proowner)::text FROM pg_proc WHERE proname = $1";
    let row = database.client.query_one(sql, &[&own]).await.unwrap();
    assert_eq!(row.get::<_, String>(0), bob);
    let refused = psql_like(&stranger, &trap(&own, &eve)).await.unwrap_err();
    assert!(refused.contains("must be owner of function"), "{refused}");
    database.run("INSERT INTO orders VALUES (2)").await;
    assert!(!is_superuser(&database, &eve).await);
}

/// The table's owner changes between printing and running the script.
#[tokio::test(flavor = "multi_thread")]
async fn a25_the_owner_is_looked_at_when_the_sql_is_run() {
    let database = Database::new().await;
    let [eve, bob] = world(&database).await;
    let printed = triggers(&database, &["install", "orders"]).await;
    database
        .run(&format!("ALTER TABLE orders OWNER TO {eve}"))
        .await;
    let before = catalog(&database).await;
    let refused = psql_like(&database, &printed.stdout).await.unwrap_err();
    assert!(
        refused.contains("has changed: run pgfan triggers install again"),
        "{refused}"
    );
    assert_eq!(catalog(&database).await, before);
    // If the owner changes afterwards, show reports the previous one.
    install(&database, &["orders"]).await;
    database
        .run(&format!("ALTER TABLE orders OWNER TO {bob}"))
        .await;
    let shown = triggers(&database, &["show"]).await.stdout;
    let told = format!("belongs to \"{eve}\", and the table to \"{bob}\": ");
    assert_eq!(shown.matches(&told).count(), 3, "{shown}");
    install(&database, &["orders"]).await;
    let shown = triggers(&database, &["show"]).await.stdout;
    assert!(!shown.contains("-- "), "{shown}");
    // The previous function belongs to her and is not dropped: only she, or a role that
    // knows it, may do so.
    let sql = "SELECT count(*) FROM pg_proc WHERE proname LIKE 'pgfan%'";
    let count: i64 = database.client.query_one(sql, &[]).await.unwrap().get(0);
    assert_eq!(count, 2);
}

/// Without an attack: one team installs first, the other as a superuser.
#[tokio::test(flavor = "multi_thread")]
async fn a25_a_superuser_who_installs_gives_no_team_the_rights_of_another() {
    let database = Database::new().await;
    let [eve, bob] = world(&database).await;
    let stranger = with_role(&database, &eve).await;
    stranger.run("CREATE TABLE hers (id int PRIMARY KEY)").await;
    let mut command = pgfan();
    let url = as_role(&database, &eve);
    command.args([
        "triggers",
        "install",
        "hers",
        "--commit",
        "--database-url",
        &url,
    ]);
    let ended: Ended = run(&mut command).await;
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    install(&database, &["orders"]).await;
    let sql = "SELECT f.proname::text, t.tgrelid::regclass::text, pg_get_userbyid(f.proowner)::text \
               FROM pg_trigger AS t JOIN pg_proc AS f ON f.oid = t.tgfoid GROUP BY 1, 2, 3 ORDER BY 2";
    let rows = database.client.query(sql, &[]).await.unwrap();
    let rows: Vec<[String; 3]> = rows.iter().map(|r| [0, 1, 2].map(|n| r.get(n))).collect();
    let expected = [(&eve, "hers"), (&bob, "orders")].map(|(owner, table)| {
        [
            format!("pgfan_notify_change_{owner}"),
            table.to_owned(),
            owner.clone(),
        ]
    });
    assert_eq!(rows, expected);
}

/// An operator that matches better than PostgreSQL's own, in a schema of the path
/// (CVE-2018-1058).
#[tokio::test(flavor = "multi_thread")]
async fn a25_no_operator_of_a_stranger_is_called() {
    let database = Database::new().await;
    let [eve, _] = world(&database).await;
    let stranger = with_role(&database, &eve).await;
    let trap = format!(
        "CREATE FUNCTION trap(smallint, integer) RETURNS smallint LANGUAGE plpgsql AS \
         $$BEGIN ALTER ROLE {eve} SUPERUSER; RETURN 0; END$$; \
         CREATE OPERATOR & (LEFTARG = smallint, RIGHTARG = integer, FUNCTION = trap); \
         CREATE FUNCTION trap(name, text) RETURNS boolean LANGUAGE plpgsql AS \
         $$BEGIN ALTER ROLE {eve} SUPERUSER; RETURN true; END$$; \
         CREATE OPERATOR = (LEFTARG = name, RIGHTARG = text, FUNCTION = trap)"
    );
    stranger.run(&trap).await;
    // The database's owner can set the search path of all sessions.
    let name = database.url.rsplit('/').next().unwrap();
    let path = format!("ALTER DATABASE {name} SET search_path = public, pg_catalog");
    database.run(&path).await;
    for arguments in [
        &["install", "orders", "--keys", "--commit"][..],
        &["install", "orders", "--event-trigger", "--commit"],
        &["show"],
        &["show", "orders"],
        &["uninstall", "orders", "--event-trigger", "--commit"],
    ] {
        let ended = triggers(&database, arguments).await;
        assert!(!is_superuser(&database, &eve).await, "{arguments:?}");
        assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    }
}

/// Any role can write the same comment, or a line of the source.
#[tokio::test(flavor = "multi_thread")]
async fn a25_a_mark_is_no_proof_of_origin() {
    let database = Database::new().await;
    let [eve, bob] = world(&database).await;
    let stranger = with_role(&database, &eve).await;
    let function = format!("pgfan_notify_change_{eve}");
    stranger.run(&trap(&function, &eve)).await;
    database
        .run(&format!("GRANT TRIGGER ON orders TO {eve}"))
        .await;
    let create =
        format!("CREATE TRIGGER pgfan_change AFTER INSERT ON orders EXECUTE FUNCTION {function}()");
    stranger.run(&create).await;
    let shown = triggers(&database, &["show"]).await.stdout;
    let told = format!(
        "-- \"public\".\"{function}\"() belongs to \"{eve}\", and the table to \"{bob}\": \
         whatever \"{eve}\" puts there runs with the rights of everybody"
    );
    assert!(shown.contains(&told), "{shown}");
    // The trigger is removed, and her function stays: a superuser drops no objects of
    // other roles.
    let ended = triggers(&database, &["uninstall", "orders", "--commit"]).await;
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    assert!(!ended.stdout.contains("DROP FUNCTION"), "{ended:?}");
    stranger.run(&create).await;
    install(&database, &["orders"]).await;
    database.run("INSERT INTO orders VALUES (1)").await;
    assert!(!is_superuser(&database, &eve).await);
}

/// JSON of a row calls the cast to json that the owner of a column's type has made.
#[tokio::test(flavor = "multi_thread")]
async fn a25_no_cast_of_a_stranger_runs_with_the_rights_of_a_writer() {
    let database = Database::new().await;
    let [eve, _] = world(&database).await;
    let stranger = with_role(&database, &eve).await;
    let types = "CREATE TYPE mood AS ENUM ('good'); CREATE TYPE pair AS (id int, m mood[]); \
                 CREATE DOMAIN moods AS pair";
    stranger.run(types).await;
    let sql = "ALTER TABLE orders ADD m mood; CREATE TABLE nested (id int PRIMARY KEY, p moods[])";
    database.run(sql).await;
    let gateway = TestGateway::on(&database).await;
    let mut reader = gateway.reader(Wire::Sse, "all").await;
    let arguments = ["orders", "nested", "--keys", "--channel", "all"];
    install(&database, &arguments).await;
    let insert = [
        ("orders", "INSERT INTO orders (id, m) VALUES (1, 'good')"),
        (
            "nested",
            "INSERT INTO nested VALUES (1, ARRAY[(1, '{good}')::pair::moods])",
        ),
    ];
    let update = insert.map(|(table, _)| (table, format!("UPDATE {table} SET id = id + 1")));
    for (_, sql) in insert {
        database.run(sql).await;
        assert!(told(&mut reader).await["keys"].is_array());
    }
    let cast = format!(
        "CREATE FUNCTION trap(mood) RETURNS json LANGUAGE plpgsql AS \
         $$BEGIN ALTER ROLE {eve} SUPERUSER; RETURN '1'; END$$; \
         CREATE CAST (mood AS json) WITH FUNCTION trap(mood)"
    );
    stranger.run(&cast).await;
    for (table, sql) in &update {
        // For a reader of this payload, any row may have changed.
        database.run(sql).await;
        let expected = with(plain("update", table), "shortened", json!(true));
        assert_eq!(told(&mut reader).await, expected);
        assert!(!is_superuser(&database, &eve).await);
    }
    // A superuser's cast is called, as extensions have it.
    let given = "ALTER FUNCTION trap(mood) OWNER TO current_user; \
                 CREATE OR REPLACE FUNCTION trap(mood) RETURNS json LANGUAGE sql AS \
                 $$SELECT '1'::json$$";
    database.run(given).await;
    for (_, sql) in &update {
        database.run(sql).await;
        assert!(told(&mut reader).await["keys"].is_array());
    }
}

/// Event triggers run with the rights of every role that runs DDL.
#[tokio::test(flavor = "multi_thread")]
async fn a25_no_schema_of_a_stranger_holds_the_event_trigger() {
    let database = Database::new().await;
    let [eve, _] = world(&database).await;
    let name = database.url.rsplit('/').next().unwrap();
    let grant = format!("GRANT CREATE ON DATABASE {name} TO {eve}");
    database.run(&grant).await;
    let stranger = with_role(&database, &eve).await;
    stranger.run("CREATE SCHEMA pgfan_ddl").await;
    for function in [
        "",
        "CREATE FUNCTION pgfan_ddl.notify_ddl() RETURNS event_trigger \
                          LANGUAGE plpgsql AS 'BEGIN END'",
    ] {
        stranger.run(function).await;
        let before = catalog(&database).await;
        let arguments = ["install", "orders", "--event-trigger", "--commit"];
        let ended = triggers(&database, &arguments).await;
        assert_eq!(ended.status.code(), Some(1), "{ended:?}");
        assert!(ended.stderr.contains("nothing is taken over"), "{ended:?}");
        assert_eq!(catalog(&database).await, before);
    }
    // A superuser's schema with a function of hers.
    database
        .run("ALTER SCHEMA pgfan_ddl OWNER TO current_user")
        .await;
    let arguments = ["install", "orders", "--event-trigger", "--commit"];
    let ended = triggers(&database, &arguments).await;
    assert!(ended.stderr.contains("nothing is taken over"), "{ended:?}");
}
