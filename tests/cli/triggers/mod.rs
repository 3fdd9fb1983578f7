//! What `pgfan triggers` makes tables tell, and that they take every row.

/// Making and removing them.
mod install;

/// What they tell.
mod payload;

/// Rows that come and go with a partition, or a table that inherits.
mod parts;

/// The text of a key.
mod settings;

/// What is there, for a person and for psql.
mod show;

/// Roles that may create in the schema, and wait for the one who installs.
mod strangers;

/// What logical replication brings.
mod subscription;

/// A database that cannot be had.
mod unreachable;

use std::{collections::BTreeMap, time::Duration};

use serde_json::{Value, json};

use crate::support::{
    Database, Reader,
    gateway_process::{libpq_variables, pgfan},
    program::{Ended, run},
};

async fn triggers(database: &Database, arguments: &[&str]) -> Ended {
    let mut command = pgfan();
    command.envs(libpq_variables(&database.url)).arg("triggers");
    // A setting of the gateway's alone, which it would refuse.
    command.env("PGFAN_LISTEN", "nowhere");
    run(command.args(arguments)).await
}

/// Installs, and prints what it did.
async fn install(database: &Database, arguments: &[&str]) -> String {
    let all: Vec<_> = ["install", "--commit"].iter().chain(arguments).collect();
    let all: Vec<&str> = all.into_iter().copied().collect();
    let ended = triggers(database, &all).await;
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    assert!(ended.stderr.ends_with("done\n"), "{ended:?}");
    ended.stdout
}

fn as_role(database: &Database, role: &str) -> String {
    database.url.replace("pgfan@", &format!("{role}@"))
}

/// A session of the role's.
async fn with_role(database: &Database, role: &str) -> Database {
    Database::at(as_role(database, role)).await
}

/// A role of this database's own, which can log in.
async fn role(database: &Database, name: &str) -> String {
    let role = format!("{}_{name}", database.url.rsplit('/').next().unwrap());
    database.run(&format!("CREATE ROLE {role} LOGIN")).await;
    role
}

/// What is told of a change; the time has the right form.
async fn told(reader: &mut Reader) -> Value {
    let payload = reader.event().await.1;
    let mut told: Value = serde_json::from_str(&payload).unwrap_or_else(|_| panic!("{payload}"));
    let sent_at = told.as_object_mut().unwrap().remove("sent_at").unwrap();
    let sent_at = humantime::parse_rfc3339(sent_at.as_str().unwrap()).unwrap();
    assert!(sent_at.elapsed().unwrap() < Duration::from_secs(60));
    told
}

fn plain(operation: &str, table: &str) -> Value {
    json!({"operation": operation, "schema": "public", "table": table})
}

fn with(mut told: Value, field: &str, value: Value) -> Value {
    told[field] = value;
    told
}

/// Everything that install could make.
async fn catalog(database: &Database) -> BTreeMap<String, i64> {
    let mut counts = BTreeMap::new();
    for table in [
        "proc",
        "trigger",
        "description",
        "depend",
        "class",
        "type",
        "namespace",
        "event_trigger",
    ] {
        let sql = format!("SELECT count(*) FROM pg_{table}");
        let row = database.client.query_one(&sql, &[]).await.unwrap();
        counts.insert(table.to_owned(), row.get(0));
    }
    counts
}

const ORDERS: &str = "CREATE TABLE orders (id int PRIMARY KEY, status text, note text)";
