//! `examples/python/cache.py`, by the rules of `docs/caching.md`.

use std::fs;

use futures_util::future::join_all;
use tempfile::NamedTempFile;

use crate::{
    examples::command_of,
    python::python,
    support::{
        Database,
        gateway_process::{GatewayProcess, libpq_variables, pgfan},
        program::{Program, run},
    },
};

/// Tables by their primary key: its columns, and its values in one row.
const KEYS: &[(&str, &str, &str)] = &[
    ("of_int", "id bigint", "9007199254740993"),
    ("of_text", "id text", "'O''Neill \"1\" \\ é'"),
    (
        "of_uuid",
        "id uuid",
        "'0D9F1E2C-6A1B-4F0E-9C3D-2B1A0F9E8D7C'",
    ),
    ("of_date", "id date", "'2026-02-01'"),
    ("of_timestamp", "id timestamp", "'2026-02-01 03:04:05.5'"),
    (
        "of_timestamptz",
        "id timestamptz",
        "'2026-02-01 03:04:05.678+05:30'",
    ),
    ("of_numeric", "id numeric", "12345678901234567890.1234500"),
    ("of_whole_numeric", "id numeric(6,2)", "100"),
    ("of_bytea", "id bytea", "'\\x00ff5c'"),
    ("of_bool", "id bool", "true"),
    ("of_enum", "id mood", "'it''s \"ok\"'"),
    (
        "of_two",
        "shop uuid, number int",
        "'0d9f1e2c-6a1b-4f0e-9c3d-2b1a0f9e8d7c', 7",
    ),
    (
        "of_four",
        "a text, b numeric, c date, d bool",
        "'x', 1.50, '2026-02-01', false",
    ),
];

/// The writing session has another time format and time zone.
const WRITER: &str = "SET TimeZone = 'Asia/Kolkata'; SET DateStyle = 'German, DMY'";

async fn cache(gateway: &GatewayProcess, database: &Database, table: &str) -> Program {
    let line = ["python3", "examples/python/cache.py", "URL", table];
    let mut command = command_of(gateway.address, &line);
    Program::start(command.envs(libpq_variables(&database.url)))
}

async fn install(database: &Database, table: &str) {
    let mut command = pgfan();
    command.args(["triggers", "install", table, "--keys", "--commit"]);
    let ended = run(command.args(["--database-url", &database.url])).await;
    assert!(ended.status.success(), "{ended:#?}");
}

/// With its own database, gateway and cache: rows are changed while the cache holds them.
async fn is_invalidated(database: &Database, gateway: &GatewayProcess, table: &str) {
    let mut program = cache(gateway, database, table).await;
    for (held, written) in [("old", "new"), ("new", "newer")] {
        let line = program.stdout.line("cached ").await;
        assert!(line.contains(&format!("'{held}'")), "{table}: {line}");
        database
            .run(&format!("UPDATE {table} SET value = '{written}'"))
            .await;
        program.stdout.line("read   {").await;
    }
    let line = program.stdout.line("cached ").await;
    assert!(line.contains("'newer'"), "{table}: {line}");
    let said = program.stdout.text();
    assert!(!said.contains("flushed"), "{table}: {said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_is_invalidated_whatever_its_key_is_made_of() {
    let database = Database::new().await;
    database
        .run("CREATE TYPE mood AS ENUM ('it''s \"ok\"')")
        .await;
    for (table, columns, values) in KEYS {
        let names = columns
            .split(", ")
            .map(|column| column.split(' ').next().unwrap());
        let names = names.collect::<Vec<_>>().join(", ");
        let create = format!("CREATE TABLE {table} ({columns}, value text, PRIMARY KEY ({names}))");
        let insert = format!("INSERT INTO {table} VALUES ({values}, 'old')");
        database.run(&format!("{create}; {insert}")).await;
        install(&database, table).await;
    }
    let gateway = GatewayProcess::on(&database).await;
    database.run(WRITER).await;
    let tables = KEYS
        .iter()
        .map(|(table, ..)| is_invalidated(&database, &gateway, table));
    join_all(tables).await;
    gateway.stop().await;
}

/// A bytea key that the writer's session prints in another format than hex: the cache cannot parse
/// it and flushes.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_cannot_be_read_flushes() {
    let database = Database::new().await;
    let table = "CREATE TABLE orders (id bytea PRIMARY KEY, value text)";
    let row = "INSERT INTO orders VALUES ('\\x00ff', 'old')";
    database.run(&format!("{table}; {row}")).await;
    let gateway = GatewayProcess::on(&database).await;
    let mut program = cache(&gateway, &database, "orders").await;
    for payload in [
        "{\"keys\": [{\"id\": \"\\\\000\\\\377\"}]}",
        "{\"keys\": [{}]}",
        "{\"keys\": []}",
        "",
        "7",
        "[",
    ] {
        program.stdout.line("cached ").await;
        database.notify("orders", payload).await;
        program.stdout.line("flushed: ").await;
        program.stdout.line("read   ").await;
    }
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rules_hold() {
    let database = Database::new().await;
    let table = "CREATE TABLE orders (id int PRIMARY KEY, value text)";
    let rows = "INSERT INTO orders SELECT generate_series(1, 9), 'old'";
    database.run(&format!("{table}; {rows}")).await;
    install(&database, "orders").await;
    let gateway = GatewayProcess::on(&database).await;
    for environment in ["venv", "venv-new"] {
        let mut rules = python(environment, "cache_rules.py");
        rules.args([gateway.url(""), gateway.program.pid().to_string()]);
        rules.envs(libpq_variables(&database.url));
        let ended = run(&mut rules).await;
        let expected = "generation after the snapshot: stale\n\
                        generation before the snapshot: right\n\
                        a fill that is overtaken: discarded\n\
                        a write of one's own: read\n\
                        memory: bounded\n\
                        missed events: before ready\n\
                        a missed gap: before ready\n\
                        a gateway that does not answer: bypassed\n\
                        a forked process: bypassed\n\
                        a key of another type: refused\n";
        assert_eq!(ended.stdout, expected, "{ended:#?}");
        assert!(ended.status.success(), "{ended:#?}");
    }
    gateway.stop().await;
}

/// A reload removes its channel, and the connection would continue without it.
#[tokio::test(flavor = "multi_thread")]
async fn a_cache_whose_channel_is_taken_away_ends_and_says_why() {
    let database = Database::new().await;
    let table = "CREATE TABLE orders (id int PRIMARY KEY, value text)";
    let rows = "INSERT INTO orders SELECT generate_series(1, 5), 'old'";
    database.run(&format!("{table}; {rows}")).await;
    let settings = NamedTempFile::new().unwrap();
    let mut serve = pgfan();
    serve.args(["serve", "--database-url", &database.url, "--config"]);
    let mut gateway = GatewayProcess::serve(serve.arg(settings.path())).await;
    gateway.ready().await;
    let mut program = cache(&gateway, &database, "orders").await;
    program
        .stdout
        .line("cached {'id': 1, 'value': 'old'}")
        .await;
    fs::write(settings.path(), "channels = 'others'").unwrap();
    gateway.program.signal("HUP").await;
    gateway.logged("the settings were read again").await;
    let ended = program.ended().await;
    assert_eq!(ended.status.code(), Some(1), "{ended:#?}");
    assert!(
        ended.stderr.contains("orders was taken away\n"),
        "{ended:#?}"
    );
    assert!(ended.stderr.contains("refused: status 403"), "{ended:#?}");
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cache_shows_its_token_and_ends_where_it_is_refused() {
    let database = Database::new().await;
    let table = "CREATE TABLE orders (id int PRIMARY KEY, value text)";
    let rows = "INSERT INTO orders SELECT generate_series(1, 5), 'old'";
    database.run(&format!("{table}; {rows}")).await;
    let secret = (
        "PGFAN_TOKEN_SECRET",
        "a secret of at least thirty-two bytes",
    );
    let mut serve = pgfan();
    serve.args(["serve", "--database-url", &database.url]);
    let gateway = GatewayProcess::serve(serve.envs([secret])).await;
    gateway.ready().await;
    let token = async |channel: &str| {
        let mut token = pgfan();
        token.args(["token", "--subscribe", channel, "--expires", "1h"]);
        run(token.envs([secret])).await.stdout.trim().to_owned()
    };
    let line = ["python3", "examples/python/cache.py", "URL", "orders"];
    let with = |token: String| {
        let mut command = command_of(gateway.address, &line);
        command.envs(libpq_variables(&database.url));
        Program::start(command.env("PGFAN_TOKEN", token))
    };
    with(token("orders").await).stdout.line("cached ").await;
    for (token, status) in [("none".to_owned(), "401"), (token("others").await, "403")] {
        let ended = with(token).ended().await;
        assert_eq!(ended.status.code(), Some(1), "{ended:#?}");
        let expected = format!("refused: status {status}");
        assert!(ended.stderr.contains(&expected), "{ended:#?}");
    }
    gateway.stop().await;
}

/// An open gateway that is asked for by a name it does not know answers 421.
#[tokio::test(flavor = "multi_thread")]
async fn the_examples_end_if_their_host_is_refused() {
    let database = Database::new().await;
    let table = "CREATE TABLE orders (id int PRIMARY KEY, value text)";
    database.run(table).await;
    let gateway = GatewayProcess::on(&database).await;
    let url = format!("http://127.1:{}", gateway.address.port());
    for example in ["cache.py", "sse.py"] {
        let file = format!("examples/python/{example}");
        let mut command = command_of(gateway.address, &["python3", &file, &url, "orders"]);
        command.envs(libpq_variables(&database.url));
        let ended = Program::start(&mut command).ended().await;
        assert_eq!(ended.status.code(), Some(1), "{ended:#?}");
        assert!(ended.stderr.contains("--allow-host"), "{ended:#?}");
    }
    gateway.stop().await;
}
