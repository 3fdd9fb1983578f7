//! Notes on what the triggers cannot report, and what they forbid. Pure.

use super::{
    catalog::{Events, Table},
    show::{UNWATCHED, partitions},
};

/// Notes before install; `events` is the state after it.
pub(super) fn notes(tables: &[Table], events: Events, has_two_phase: bool) -> Vec<String> {
    let mut notes = Vec::new();
    for table in tables {
        let name = table.full_name();
        if table.is_partitioned() {
            if events != Events::Active {
                notes.push(format!("{name} is partitioned: {}", partitions(events)));
            }
            for part in table.partitions.iter().filter(|part| !part.takes_triggers) {
                let part = part.full_name();
                notes.push(format!(
                    "TRUNCATE of {part}, a partition of {name}, is told to nobody: it takes no \
                     trigger, or is another owner's"
                ));
            }
        }
        let is_named = |oid: &str| tables.iter().any(|table| table.oid == oid);
        for (_, heir) in table
            .unwatched_heirs
            .iter()
            .filter(|(oid, _)| !is_named(oid))
        {
            notes.push(format!("{heir} inherits from {name}: {UNWATCHED}"));
        }
    }
    if has_two_phase {
        notes.push(
            "a transaction that changes these tables can no longer be prepared: PostgreSQL \
             refuses PREPARE TRANSACTION after NOTIFY, and a subscription with two_phase would \
             stop there"
                .to_owned(),
        );
    }
    notes
}

/// Notes after install: triggers refused by the server (TimescaleDB does, for hypertables).
pub(super) fn refusals(tables: &[Table]) -> Vec<String> {
    let is_refused = |table: &&Table| {
        let ours = table.triggers.iter().filter(|trigger| trigger.is_ours);
        ours.clone().any(|trigger| trigger.fires == "O")
    };
    let tables = tables.iter().filter(is_refused);
    tables
        .map(|table| {
            format!(
                "{}: this server refuses ENABLE ALWAYS TRIGGER: what replication brings is not \
                 reported",
                table.full_name()
            )
        })
        .collect()
}
