//! `pgfan triggers`: the notifications of the tables, which still accept every
//! row.

/// Installing and removing the triggers.
mod install;

/// The payload of the notifications.
mod payload;

/// Rows that are added or removed with a partition, or a table that inherits.
mod parts;

/// The text of a key.
mod settings;

/// The installed triggers, as text and for psql.
mod show;

/// Roles that may create objects in the schema, and attack the role that
/// installs.
mod strangers;

/// Changes from logical replication.
mod subscription;

/// An unreachable database.
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
    // A setting of the gateway only, which it would refuse.
    command.env("PGFAN_LISTEN", "nowhere");
    run(command.args(arguments)).await
}

/// Installs, and prints the output.
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

/// Opens a session of the role.
async fn with_role(database: &Database, role: &str) -> Database {
    Database::at(as_role(database, role)).await
}

/// Creates a role for this database, which can log in.
async fn role(database: &Database, name: &str) -> String {
    let role = format!("{}_{name}", database.url.rsplit('/').next().unwrap());
    database.run(&format!("CREATE ROLE {role} LOGIN")).await;
    role
}

/// The payload of the next change; checks the form of its time.
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

/// The number of objects of each kind that install could create.
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
