//! `pgfan health`: tests whether a gateway answers, for health checks without
//! an HTTP client: a container's, a script's.

use std::{error::Error, time::Duration};

use clap::{Arg, ArgAction, ArgMatches, Command};
use tokio::time::timeout;

use super::{CommandResult, gateway};
use crate::client;

/// Timeout for the answer; then the gateway is unhealthy.
const LIMIT: Duration = Duration::from_secs(5);

pub(super) fn command() -> Command {
    Command::new("health")
        .about("Ask a gateway whether it answers")
        .arg(
            Arg::new("ready")
                .long("ready")
                .action(ArgAction::SetTrue)
                .help("And whether it listens to its database"),
        )
        .args(gateway::arguments())
        .after_help(
            "Examples:\n  \
             pgfan health\n  \
             pgfan health --ready --url http://10.0.0.7:8000\n\n\
             Exit code 0: it does. 1: it does not, or not within 5 s. 2: not understood.\n\
             A gateway that waits for its database is healthy and not ready: to start it \
             anew would not bring the database back, and would cost its readers their cursors.",
        )
}

pub(super) async fn run(matches: &ArgMatches) -> CommandResult {
    let gateway = gateway::gateway(matches)?;
    let path = if matches.get_flag("ready") {
        "/readyz"
    } else {
        "/healthz"
    };
    let asked = timeout(LIMIT, client::ask(&gateway, path)).await;
    let answered = asked.map_err(|_| format!("no answer within {LIMIT:?}"))?;
    answered.map_err(|ended| Box::<dyn Error>::from(gateway::explained(&ended)))
}
