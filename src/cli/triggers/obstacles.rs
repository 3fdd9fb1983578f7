//! Reasons for which install refuses to print anything. Pure.

use super::{
    super::database::identifier,
    catalog::Table,
    sql::{CHANGE, EMPTIED, Options, PART_EMPTIED, REPLICATED},
};
use crate::event::ChannelName;

/// Why nothing can be installed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub(super) struct Obstacles(Vec<String>);

/// Collects all of them.
pub(super) fn obstacles(tables: &[Table], options: &Options) -> Result<(), Obstacles> {
    let obstacles: Vec<_> = tables.iter().flat_map(|table| of(table, options)).collect();
    match obstacles.is_empty() {
        true => Ok(()),
        false => Err(Obstacles(obstacles)),
    }
}

fn of(table: &Table, options: &Options) -> Vec<String> {
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
    obstacles.extend(of_function(table));
    for trigger in &table.triggers {
        let is_named_so = [CHANGE, REPLICATED, EMPTIED, PART_EMPTIED].contains(&&*trigger.name);
        if !trigger.is_ours && is_named_so {
            let trigger = &trigger.name;
            let text = format!("{name} has a trigger {trigger} not made by install: rename it");
            obstacles.push(text);
        }
    }
    for part in &table.partitions {
        if part.trigger == Some(false) {
            let part = part.full_name();
            let text =
                format!("{part} has a trigger {PART_EMPTIED} not made by install: rename it");
            obstacles.push(text);
        }
    }
    obstacles
}

/// The transaction checks again.
fn of_function(table: &Table) -> Option<String> {
    let function = table.own_function()?;
    let name = function.full_name();
    if function.owner != table.owner {
        return Some(format!(
            "{name} belongs to {}, and {} to {}: what another role has made is not taken over; drop \
             it, or have it renamed",
            identifier(&function.owner),
            table.full_name(),
            identifier(&table.owner)
        ));
    }
    let text = || format!("{name} is there and not made by install: rename it");
    (!function.is_ours).then(text)
}
