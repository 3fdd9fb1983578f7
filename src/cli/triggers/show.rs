//! The installed triggers, as SQL with remarks. A remark is one line: each name in it is a
//! printable token. Pure.

use std::fmt::Write as _;

use super::{
    super::database::{identifier, printable_sql},
    catalog::{Events, Table, Trigger},
    sql::{ALWAYS, PART_EMPTIED, REPLICA, REPLICATED, enable},
};

const DISABLED: &str = "-- disabled, it notifies nobody:";

/// Made by an earlier version, or disabled and enabled since, as pg_restore does.
const ORIGIN: &str = "-- what a subscription brings it tells nobody: install again, unless this \
    server refuses ENABLE ALWAYS TRIGGER:";

/// The table had no parent when the trigger was made.
const UNSEEN: &str = "-- what a statement on its parent changes here it tells nobody: install again, or of a \
    partition on the whole table:";

/// Made when the table was a partition.
const DETACHED: &str = "-- of a table that this one is no longer a part of: uninstall it:";

pub(super) fn show(tables: &[Table], events: Events) -> String {
    let mut sql = String::new();
    for table in tables {
        let name = table.full_name();
        let ours: Vec<_> = table.triggers.iter().filter(|t| t.is_ours).collect();
        if ours.is_empty() {
            // Writing to a String cannot fail, here and below.
            let _ = writeln!(sql, "-- {name}: nothing is installed");
        } else {
            push_unseen(&mut sql, table, events);
        }
        for trigger in ours {
            push_trigger(&mut sql, table, trigger);
        }
        for trigger in table.triggers.iter().filter(|t| !t.is_ours && t.notifies) {
            let (trigger, function) = (identifier(&trigger.name), &trigger.function);
            let _ = writeln!(
                sql,
                "-- {name}: its trigger {trigger} is not pgfan's and calls {function}, which notifies too"
            );
        }
    }
    sql
}

fn push_trigger(sql: &mut String, table: &Table, trigger: &Trigger) {
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
    if trigger.name == PART_EMPTIED && !table.is_partition {
        let _ = writeln!(sql, "{DETACHED}");
    }
    if trigger.function_owner != table.owner {
        let (function, owner) = (&trigger.function, identifier(&trigger.function_owner));
        let table_owner = identifier(&table.owner);
        let _ = writeln!(
            sql,
            "-- {function} belongs to {owner}, and the table to {table_owner}: whatever {owner} puts \
             there runs with the rights of everybody who writes to the table: install again:"
        );
    }
    let _ = writeln!(sql, "{};", printable_sql(&trigger.definition));
    if let Some(when) = when {
        sql.push_str(&enable(&table.full_name(), &trigger.name, when));
    }
}

/// Remarks on changes that none of the table's triggers can see.
fn push_unseen(sql: &mut String, table: &Table, events: Events) {
    let name = table.full_name();
    if table.is_partitioned() {
        let _ = writeln!(sql, "-- {name}: {}", partitions(events));
        for part in &table.partitions {
            let remark = match (part.trigger, part.fires.as_str()) {
                (Some(true), "A") => continue,
                (Some(true), "O") => {
                    "what a subscription truncates is told to nobody: install again"
                }
                (Some(true), _) => "its trigger is disabled: TRUNCATE of it is told to nobody",
                _ if part.takes_triggers => "TRUNCATE of it is told to nobody: install again",
                _ => "TRUNCATE of it is told to nobody: it takes no trigger, or is another owner's",
            };
            let _ = writeln!(sql, "-- {}, a partition of it: {remark}", part.full_name());
        }
    }
    for (_, heir) in &table.unwatched_heirs {
        let _ = writeln!(sql, "-- {heir} inherits from {name}: {UNWATCHED}");
    }
}

/// Remark on a table that inherits.
pub(super) const UNWATCHED: &str = "who changes its rows notifies nobody: install on it too";

/// Remark on a table's partitions.
pub(super) fn partitions(events: Events) -> &'static str {
    match events {
        Events::Active => "event triggers report partitions that are attached, detached or dropped",
        Events::Missing => {
            "who attaches, detaches or drops one partition, or truncates a later one, notifies \
             nobody: a superuser can install with --event-trigger"
        }
        Events::Broken => {
            "who attaches, detaches or drops one partition, or truncates a later one, may notify \
             nobody: the event triggers are disabled or changed, install them again with \
             --event-trigger"
        }
    }
}
