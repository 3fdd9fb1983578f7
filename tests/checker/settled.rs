//! After the writer has stopped: whether every cache agrees with the table.

use std::collections::HashMap;

use tokio::time::{Duration, Instant, timeout_at};

use crate::{SETTLED, cache::Stale, keeper::Keeper};

/// One cache that does not agree.
#[derive(Debug)]
pub struct Disagreement {
    pub reader: String,
    pub is_live: bool,
    pub cached: usize,
    pub stale: Vec<Stale>,
}

/// Waits until all agree, and returns the time since `begin`; after the limit,
/// those that do not agree.
pub async fn agreement(
    keepers: &[Keeper],
    table: &HashMap<i32, i64>,
    begin: Instant,
) -> Result<Duration, Vec<Disagreement>> {
    let mut disagreements = Vec::new();
    for keeper in keepers {
        let mut kept = keeper.kept.clone();
        let agrees = kept.wait_for(|kept| kept.cache.agrees_with(table));
        match timeout_at(begin + SETTLED, agrees).await {
            Ok(Ok(_)) => {}
            Ok(Err(_)) => panic!("{} has failed", keeper.habits.title()),
            Err(_) => disagreements.push(disagreement(keeper, table)),
        }
    }
    if disagreements.is_empty() {
        Ok(begin.elapsed())
    } else {
        Err(disagreements)
    }
}

fn disagreement(keeper: &Keeper, table: &HashMap<i32, i64>) -> Disagreement {
    let kept = keeper.kept.borrow();
    Disagreement {
        reader: keeper.habits.title(),
        is_live: kept.cache.is_live(),
        cached: kept.cache.len(),
        stale: kept.cache.stale(table),
    }
}

/// Prints every stale entry on a line.
pub fn print(disagreements: &[Disagreement]) {
    for Disagreement {
        reader,
        is_live,
        cached,
        stale,
    } in disagreements
    {
        println!(
            "{reader}: {} of {cached} entries are stale, live: {is_live}",
            stale.len()
        );
        for Stale { key, cached, table } in stale {
            println!("  {reader}, key {key}: cached {cached}, table {table}");
        }
    }
}
