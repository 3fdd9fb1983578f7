//! `pgfan serve`: the gateway.

use tracing::{info, warn};

use super::CommandResult;
use crate::{
    app::Gateway,
    config::{Config, environment},
    shutdown::Shutdown,
    supervisor::Supervisor,
};

pub(super) async fn run(config: Config) -> CommandResult {
    for warning in &config.warnings {
        warn!("{warning}");
    }
    let open = config.auth.anonymous;
    let shutdown = Shutdown::default();
    shutdown.on_signals()?;
    let mut gateway = Gateway::bind(config)?;
    let address = gateway.local_addr()?;
    info!(%address, "serving");
    if open && !address.ip().to_canonical().is_loopback() {
        warn!(%address, "everybody who reaches this address is let in (--anonymous)");
    }
    gateway.supervised_by(Supervisor::of(&environment));
    Ok(gateway.run(shutdown).await?)
}
