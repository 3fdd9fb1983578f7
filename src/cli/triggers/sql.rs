//! The SQL of install and uninstall, each one transaction. Pure.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use super::{
    super::database::{identifier, literal},
    catalog::Table,
};
use crate::event::ChannelName;

/// One in each schema that has a table with triggers.
pub(super) const FUNCTION: &str = "pgfan_notify_change";

/// By its comment the function is known again.
pub(super) const MARK: &str = "made by pgfan triggers install, removed by pgfan triggers uninstall";

const BODY: &str = include_str!("notify_change.sql");

const CHANGE: &str = "pgfan_change";
/// The worker of a subscription fires no triggers of statements, but for TRUNCATE.
const REPLICATED: &str = "pgfan_replicated";
const EMPTIED: &str = "pgfan_emptied";

/// Whatever `session_replication_role` is; by default a trigger fires where it is not `replica`.
const ALWAYS: &str = "ALWAYS";
/// Where it is `replica` alone.
const REPLICA: &str = "REPLICA";

/// Who waits for a table longer than that also keeps its writers waiting.
const BEGIN: &str = "BEGIN;\nSET LOCAL lock_timeout = '5s';\n";
const COMMIT: &str = "COMMIT;\n";

/// What is told of a change.
#[derive(Debug, Default)]
pub(super) struct Options {
    /// Else the table's own name.
    pub(super) channel: Option<ChannelName>,
    pub(super) keys: bool,
    pub(super) changed: bool,
}

/// Why nothing can be installed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub(super) struct Obstacles(Vec<String>);

/// Run again, it makes the same again.
///
/// # Errors
/// All obstacles at once.
pub(super) fn install(tables: &[Table], options: &Options) -> Result<String, Obstacles> {
    let obstacles: Vec<_> = tables
        .iter()
        .flat_map(|table| obstacles(table, options))
        .collect();
    if !obstacles.is_empty() {
        return Err(Obstacles(obstacles));
    }
    let mut sql = BEGIN.to_owned();
    let mut schemas: Vec<_> = tables.iter().map(|table| &table.schema).collect();
    schemas.sort();
    schemas.dedup();
    for schema in schemas {
        push_function(&mut sql, schema);
    }
    for table in tables {
        push_triggers(&mut sql, table, options);
    }
    sql.push_str(COMMIT);
    Ok(sql)
}

fn obstacles(table: &Table, options: &Options) -> Vec<String> {
    let name = table.full_name();
    let mut obstacles = Vec::new();
    if !matches!(table.kind.as_str(), "r" | "p") {
        return vec![format!("{name} is not a table, which alone can be watched")];
    }
    if table.schema == "pg_catalog" {
        let text = format!("{name} is PostgreSQL's own, which takes no triggers");
        obstacles.push(text);
    }
    if table.is_partition {
        let text = format!("{name} is a partition: install on the table it is a part of");
        obstacles.push(text);
    }
    if options.keys && table.keys.is_empty() {
        let text = format!("{name} has no primary key: leave --keys away, or add one");
        obstacles.push(text);
    }
    if options.channel.is_none() && table.name.starts_with(ChannelName::RESERVED_PREFIX) {
        let rule = "channels of such a name are the gateway's own: give another with --channel";
        obstacles.push(format!("{name}: {rule}"));
    }
    if table.function == Some(false) {
        let schema = identifier(&table.schema);
        let text = format!("{schema}.{FUNCTION}() is there and not made by install: rename it");
        obstacles.push(text);
    }
    for trigger in &table.triggers {
        if !trigger.is_ours && [CHANGE, REPLICATED, EMPTIED].contains(&trigger.name.as_str()) {
            let trigger = &trigger.name;
            let text = format!("{name} has a trigger {trigger} not made by install: rename it");
            obstacles.push(text);
        }
    }
    obstacles
}

fn push_function(sql: &mut String, schema: &str) {
    let function = format!("{}.{FUNCTION}()", identifier(schema));
    // Writing to a String cannot fail, here and below. A session may want fewer digits of a number
    // than it has: then two would look like one.
    let _ = writeln!(
        sql,
        "CREATE OR REPLACE FUNCTION {function} RETURNS trigger LANGUAGE plpgsql\n    \
         SET search_path = pg_catalog, pg_temp SET extra_float_digits = 1 AS $pgfan$\n{BODY}$pgfan$;\n\
         COMMENT ON FUNCTION {function} IS {};",
        literal(MARK)
    );
}

fn push_triggers(sql: &mut String, table: &Table, options: &Options) {
    let (name, function) = (table.full_name(), identifier(&table.schema));
    let channel = options.channel.as_ref().map(ChannelName::as_str);
    let arguments = format!(
        "{}, {}",
        literal(channel.unwrap_or(&table.name)),
        literal(&arguments(table, options))
    );
    // A statement on one partition is none on the whole table, and one on a parent none on its heir.
    let is_of_others = table.is_partitioned() || table.is_heir;
    let is_of_rows = options.keys || options.changed || is_of_others;
    let level = match is_of_rows {
        true => "ROW",
        false => "STATEMENT",
    };
    let all = "INSERT OR UPDATE OR DELETE";
    // What a subscription brings is a change too.
    for (trigger, events, level, when) in [
        (CHANGE, all, level, ALWAYS),
        (REPLICATED, all, "ROW", REPLICA),
        (EMPTIED, "TRUNCATE", "STATEMENT", ALWAYS),
    ] {
        let _ = writeln!(sql, "DROP TRIGGER IF EXISTS {trigger} ON {name};");
        if trigger == REPLICATED && is_of_rows {
            continue;
        }
        let _ = writeln!(
            sql,
            "CREATE TRIGGER {trigger} AFTER {events} ON {name}\n    \
             FOR EACH {level} EXECUTE FUNCTION {function}.{FUNCTION}({arguments});\n{}",
            enable(&name, trigger, when)
        );
    }
}

fn enable(table: &str, trigger: &str, when: &str) -> String {
    let trigger = identifier(trigger);
    format!("ALTER TABLE {table} ENABLE {when} TRIGGER {trigger};")
}

/// What the function has to know, as it reads it.
fn arguments(table: &Table, options: &Options) -> String {
    let mut arguments = Map::new();
    if options.keys {
        let keys = table.keys.iter().cloned().map(Value::String).collect();
        arguments.insert("keys".to_owned(), Value::Array(keys));
    }
    let switches = [
        ("changed", options.changed),
        ("partitioned", table.is_partitioned()),
    ];
    for (name, _) in switches.iter().filter(|(_, is_on)| *is_on) {
        arguments.insert((*name).to_owned(), Value::Bool(true));
    }
    Value::Object(arguments).to_string()
}

/// What install made on these tables, and the function with the last of them; `None` where there
/// is neither.
pub(super) fn uninstall(tables: &[Table]) -> Option<String> {
    let mut sql = String::new();
    for table in tables {
        for trigger in table.triggers.iter().filter(|trigger| trigger.is_ours) {
            let (trigger, name) = (identifier(&trigger.name), table.full_name());
            let _ = writeln!(sql, "DROP TRIGGER IF EXISTS {trigger} ON {name};");
        }
    }
    let is_named = |oid: &String| tables.iter().any(|table| table.oid == *oid);
    let mut functions: Vec<_> = tables
        .iter()
        .filter(|table| table.function == Some(true))
        .filter(|table| table.callers.iter().all(is_named))
        .map(|table| identifier(&table.schema))
        .collect();
    functions.sort();
    functions.dedup();
    for schema in functions {
        let _ = writeln!(sql, "DROP FUNCTION IF EXISTS {schema}.{FUNCTION}();");
    }
    (!sql.is_empty()).then(|| format!("{BEGIN}{sql}{COMMIT}"))
}

const DISABLED: &str = "-- disabled, it notifies nobody:";

/// By an earlier version, or since it was disabled and enabled, as pg_restore does.
const ORIGIN: &str = "-- what a subscription brings it tells nobody: install again:";

/// Its table had no parent when it was made.
const UNSEEN: &str = "-- what a statement on its parent changes here it tells nobody: install again, or of a \
    partition on the whole table:";

/// As it is there.
pub(super) fn show(tables: &[Table]) -> String {
    let mut sql = String::new();
    for table in tables {
        let name = table.full_name();
        let ours: Vec<_> = table.triggers.iter().filter(|t| t.is_ours).collect();
        if ours.is_empty() {
            let _ = writeln!(sql, "-- {name}: nothing is installed");
        }
        for trigger in ours {
            let (remark, when) = match trigger.fires.as_str() {
                "A" => (None, Some(ALWAYS)),
                "R" if trigger.name == REPLICATED => (None, Some(REPLICA)),
                "O" => (Some(ORIGIN), None),
                _ => (Some(DISABLED), None),
            };
            if let Some(remark) = remark {
                let _ = writeln!(sql, "{remark}");
            }
            if trigger.is_of_statements && table.is_heir {
                let _ = writeln!(sql, "{UNSEEN}");
            }
            let _ = writeln!(sql, "{};", trigger.definition);
            if let Some(when) = when {
                let _ = writeln!(sql, "{}", enable(&name, &trigger.name, when));
            }
        }
    }
    sql
}
