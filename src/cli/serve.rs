//! `pgfan serve`: the gateway.

use tracing::{info, warn};

use super::CommandResult;
use crate::{app::Gateway, config::Config, shutdown::Shutdown};

pub(super) async fn run(config: Config) -> CommandResult {
    let shutdown = Shutdown::default();
    shutdown.on_signals()?;
    let gateway = Gateway::bind(config)?;
    let address = gateway.local_addr()?;
    info!(%address, "serving");
    if !address.ip().is_loopback() {
        warn!(%address, "everybody who reaches this address may read every channel");
    }
    Ok(gateway.run(shutdown).await?)
}
