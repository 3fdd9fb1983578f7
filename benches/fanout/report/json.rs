//! Results as JSON.

use serde_json::{Value, json};

use super::Results;

pub fn json(all: &[Results]) -> Value {
    let scenarios = all.iter().map(|results| {
        json!({
            "name": results.scenario.name,
            "title": results.scenario.title,
            "rounds": results.outcomes.len(),
            "peers": results.rows(),
        })
    });
    json!({
        "conditions": super::conditions(),
        "scenarios": scenarios.collect::<Vec<_>>(),
    })
}
