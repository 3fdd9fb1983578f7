//! `pgfan serve`: the gateway.

use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tracing::{error, info, warn};

use super::{CommandResult, terminal};
use crate::{
    app::{Gateway, Reloader},
    config::{Config, Mistakes, environment},
    shutdown::Shutdown,
    supervisor::Supervisor,
};

/// `resolve` reads the settings, at first and again on SIGHUP.
pub(super) async fn run<F>(resolve: F) -> CommandResult
where
    F: Fn() -> Result<Config, Mistakes> + Send + Sync + 'static,
{
    let config = resolve()?;
    for warning in &config.warnings {
        warn!("{warning}");
    }
    let open = config.auth.anonymous;
    let shutdown = Shutdown::default();
    shutdown.on_signals()?;
    let supervisor = Supervisor::of(&environment);
    let mut gateway = Gateway::bind(config)?;
    let reload = Reload {
        resolve,
        reloader: gateway.reloader(),
        supervisor: supervisor.clone(),
    };
    reload.on_hangup(shutdown.clone())?;
    let address = gateway.local_addr()?;
    info!(%address, "serving");
    if let Some(admin) = gateway.admin_addr()? {
        info!(%admin, "serving metrics, status and console");
    }
    if open && !address.ip().to_canonical().is_loopback() {
        warn!(%address, "everybody who reaches this address is let in (--anonymous)");
    }
    gateway.supervised_by(supervisor);
    Ok(gateway.run(shutdown).await?)
}

/// SIGHUP reads the settings again: all of them are good, or nothing changes.
struct Reload<F> {
    resolve: F,
    reloader: Reloader,
    supervisor: Supervisor,
}

impl<F> Reload<F>
where
    F: Fn() -> Result<Config, Mistakes> + Send + Sync + 'static,
{
    /// The signal also comes when the terminal that a program runs in is closed:
    /// then it ends.
    fn on_hangup(self, shutdown: Shutdown) -> io::Result<()> {
        let lives_in_terminal = terminal::is_lived_in();
        let mut hangup = signal(SignalKind::hangup())?;
        tokio::spawn(async move {
            while hangup.recv().await.is_some() {
                if lives_in_terminal && !terminal::is_there() {
                    info!("the terminal was closed: ending");
                    shutdown.begun.cancel();
                    return;
                }
                self.supervisor.reloading().await;
                self.reload().await;
                self.supervisor.ready().await;
            }
        });
        Ok(())
    }

    async fn reload(&self) {
        match (self.resolve)() {
            Ok(config) => self.reloader.reload(config).await,
            Err(Mistakes(mistakes)) => {
                for mistake in mistakes {
                    error!("{mistake}");
                }
                error!("the settings stay as they were");
            }
        }
    }
}
