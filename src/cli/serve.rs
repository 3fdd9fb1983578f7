//! `pgfan serve`: the gateway.

use tracing::{info, warn};

use super::CommandResult;
use crate::{app::Gateway, config::Config, shutdown::Shutdown};

pub(super) async fn run(config: Config) -> CommandResult {
    for warning in &config.warnings {
        warn!("{warning}");
    }
    let open = config.auth.anonymous;
    let shutdown = Shutdown::default();
    shutdown.on_signals()?;
    let gateway = Gateway::bind(config)?;
    let address = gateway.local_addr()?;
    info!(%address, "serving");
    if open && !address.ip().to_canonical().is_loopback() {
        warn!(%address, "everybody who reaches this address is let in (--anonymous)");
    }
    Ok(gateway.run(shutdown).await?)
}
