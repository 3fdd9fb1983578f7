//! `pgfan demo`: everything at once, on a PostgreSQL of its own.
use super::CommandResult;
use std::collections::HashMap;
pub(super) async fn run(_flags: &HashMap<String, String>) -> CommandResult {
    Ok(())
}
