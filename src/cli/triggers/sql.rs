//! The SQL of install and uninstall, each one transaction. Pure.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use super::{
    super::database::{block, identifier, literal},
    catalog::{Partition, Table},
    events,
    function::{begin, function, push_check, push_function},
    obstacles::{Obstacles, obstacles},
};
use crate::event::ChannelName;

pub(super) const CHANGE: &str = "pgfan_change";
/// The worker of a subscription fires no statement triggers, except for TRUNCATE.
pub(super) const REPLICATED: &str = "pgfan_replicated";
pub(super) const EMPTIED: &str = "pgfan_emptied";
/// TRUNCATE of a partition is not one of the whole table. A separate name: a table that becomes a
/// partition may have the other triggers already.
pub(super) const PART_EMPTIED: &str = "pgfan_part_emptied";

/// Fires with any `session_replication_role`; by default a trigger fires unless it is `replica`.
pub(super) const ALWAYS: &str = "ALWAYS";
/// Fires only if it is `replica`.
pub(super) const REPLICA: &str = "REPLICA";

const COMMIT: &str = "COMMIT;\n";

/// Options of install.
#[derive(Debug, Default)]
pub(super) struct Options {
    /// `None` means the table's own name.
    pub(super) channel: Option<ChannelName>,
    pub(super) keys: bool,
    pub(super) changed: bool,
    /// Whether to report changes of partitions by DDL.
    pub(super) event_trigger: bool,
}

/// SQL of install; it can be run again with the same result.
///
/// # Errors
/// All obstacles at once.
pub(super) fn install(tables: &[Table], options: &Options) -> Result<String, Obstacles> {
    obstacles(tables, options)?;
    let mut sql = begin();
    let mut made = Vec::new();
    for table in tables {
        let name = function(table);
        if !made.contains(&name) {
            push_function(&mut sql, table);
            made.push(name);
        }
    }
    for table in tables {
        push_triggers(&mut sql, table, options);
    }
    push_dropped_functions(&mut sql, tables, &made);
    if options.event_trigger {
        events::push(&mut sql);
    }
    for table in tables {
        push_check(&mut sql, table);
    }
    sql.push_str(COMMIT);
    Ok(sql)
}

fn push_triggers(sql: &mut String, table: &Table, options: &Options) {
    let (name, function) = (table.full_name(), function(table));
    let channel = options.channel.as_ref().map(ChannelName::as_str);
    let channel = literal(channel.unwrap_or(&table.name));
    let arguments = format!("{channel}, {}", literal(&arguments(table, options)));
    // A statement on a partition is not one on the table, nor one on a parent one on its heir.
    let is_of_others = table.is_partitioned() || table.is_heir;
    let is_of_rows = options.keys || options.changed || is_of_others;
    let level = match is_of_rows {
        true => "ROW",
        false => "STATEMENT",
    };
    let trigger = |trigger: &str, events: &str, level: &str, table: &str, arguments: &str| {
        format!(
            "CREATE TRIGGER {trigger} AFTER {events} ON {table}\n    \
             FOR EACH {level} EXECUTE FUNCTION {function}({arguments});\n"
        )
    };
    let all = "INSERT OR UPDATE OR DELETE";
    for old in [CHANGE, REPLICATED, EMPTIED, PART_EMPTIED] {
        push_drop(sql, old, &name);
    }
    sql.push_str(&trigger(CHANGE, all, level, &name, &arguments));
    sql.push_str(&trigger(
        EMPTIED,
        "TRUNCATE",
        "STATEMENT",
        &name,
        &arguments,
    ));
    let mut always = enable(&name, CHANGE, ALWAYS) + &enable(&name, EMPTIED, ALWAYS);
    for part in table.partitions.iter().filter(|part| part.takes_triggers) {
        let part = part.full_name();
        push_drop(sql, PART_EMPTIED, &part);
        let arguments = format!("{channel}, {}", literal(PARTITIONED));
        sql.push_str(&trigger(
            PART_EMPTIED,
            "TRUNCATE",
            "STATEMENT",
            &part,
            &arguments,
        ));
        always.push_str(&enable(&part, PART_EMPTIED, ALWAYS));
    }
    if !is_of_rows {
        always.push_str(&trigger(REPLICATED, all, "ROW", &name, &arguments));
        always.push_str(&enable(&name, REPLICATED, REPLICA));
    }
    push_always(sql, &name, &always);
}

/// Changes that arrive by a subscription count too. A server may refuse this (TimescaleDB does, for
/// hypertables): then the table is watched without them.
fn push_always(sql: &mut String, name: &str, always: &str) {
    let always: String = always.lines().map(|line| format!("    {line}\n")).collect();
    let refused = literal(&format!(
        "{name}: this server refuses ENABLE ALWAYS TRIGGER, so that what replication brings is not \
         reported"
    ));
    sql.push_str(&block(&format!(
        "BEGIN\n{always}EXCEPTION WHEN feature_not_supported THEN\n    \
         RAISE WARNING USING MESSAGE = {refused};\nEND\n"
    )));
}

fn push_drop(sql: &mut String, trigger: &str, table: &str) {
    // Writing to a String cannot fail, here and below.
    let _ = writeln!(
        sql,
        "DROP TRIGGER IF EXISTS {} ON {table};",
        identifier(trigger)
    );
}

pub(super) fn enable(table: &str, trigger: &str, when: &str) -> String {
    let trigger = identifier(trigger);
    format!("ALTER TABLE {table} ENABLE {when} TRIGGER {trigger};\n")
}

const PARTITIONED: &str = r#"{"partitioned":true}"#;

/// Arguments of the trigger function, as JSON.
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

/// SQL that removes what install made on these tables, functions with the last tables that use
/// them, and the event triggers; `None` if there is nothing.
pub(super) fn uninstall(tables: &[Table], with_events: bool) -> Option<String> {
    let mut sql = String::new();
    for table in tables {
        for trigger in table.triggers.iter().filter(|trigger| trigger.is_ours) {
            push_drop(&mut sql, &trigger.name, &table.full_name());
        }
        for part in table.partitions.iter().filter(|part| is_removed(part)) {
            push_drop(&mut sql, PART_EMPTIED, &part.full_name());
        }
    }
    push_dropped_functions(&mut sql, tables, &[]);
    if with_events {
        sql.push_str(events::DROP);
    }
    (!sql.is_empty()).then(|| format!("{}{sql}{COMMIT}", begin()))
}

fn is_removed(part: &Partition) -> bool {
    part.takes_triggers && part.trigger == Some(true)
}

/// Drops functions made by install that no other table's triggers call, except those in `kept`.
fn push_dropped_functions(sql: &mut String, tables: &[Table], kept: &[String]) {
    let is_named = |oid: &String| {
        tables.iter().any(|table| {
            let mut parts = table.partitions.iter().filter(|part| part.takes_triggers);
            table.oid == *oid || parts.any(|part| part.oid == *oid)
        })
    };
    let functions = tables.iter().flat_map(|table| &table.functions);
    let mut names: Vec<_> = functions
        .filter(|f| f.is_ours && f.may_drop && f.callers.iter().all(is_named))
        .map(|f| f.full_name())
        .filter(|name| !kept.iter().any(|kept| *name == format!("{kept}()")))
        .collect();
    names.sort();
    names.dedup();
    for name in names {
        let _ = writeln!(sql, "DROP FUNCTION IF EXISTS {name};");
    }
}
