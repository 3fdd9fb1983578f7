//! Other settings while serving: nobody is sent away for it, but whom they
//! forbid to stay.

use std::future::pending;

use tokio::sync::mpsc;
use tracing::{info, warn};

use crate::{
    auth::Authenticator,
    config::{Config, Fixed},
    hub::Hub,
    transport::{Admission, Tls},
};

/// Reloads that wait for the one at work: a second word is the last one's.
const QUEUE: usize = 1;

/// Hands other settings to a gateway that serves. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Reloader(mpsc::Sender<Box<Config>>);

/// What takes them.
pub(super) type Reloads = mpsc::Receiver<Box<Config>>;

pub(super) fn channel() -> (Reloader, Reloads) {
    let (sender, receiver) = mpsc::channel(QUEUE);
    (Reloader(sender), receiver)
}

impl Reloader {
    /// Of a gateway that has ended, nothing.
    pub async fn reload(&self, config: Config) {
        let _ = self.0.send(Box::new(config)).await;
    }
}

/// The parts that can be set anew.
pub(super) struct Parts {
    pub(super) hub: Hub,
    pub(super) auth: Authenticator,
    pub(super) admission: Admission,
    pub(super) tls: Option<Tls>,
}

/// Never ends. `fixed`: what it began with.
pub(super) async fn follow(mut reloads: Reloads, parts: Parts, fixed: Fixed) {
    while let Some(config) = reloads.recv().await {
        for name in fixed.changed(&config.fixed) {
            warn!("--{name} has changed: that takes a restart");
        }
        for warning in &config.warnings {
            warn!("{warning}");
        }
        set(&parts, *config);
        info!("the settings were read again");
    }
    pending::<()>().await;
}

/// The rules for tokens last: they make every stream look at itself again.
fn set(parts: &Parts, config: Config) {
    parts.hub.reload(config.hub);
    let (browsers, settings) = (config.browsers, config.transport);
    parts.admission.reload(browsers, settings, config.limits);
    if let (Some(tls), Some(other)) = (&parts.tls, config.tls) {
        tls.reload(other);
    }
    parts.auth.reload(config.auth);
}

/// Each reader that rests is woken to look at itself again. Never ends.
pub(super) async fn wake(auth: Authenticator, hub: Hub) {
    let mut changes = auth.changes();
    while changes.changed().await.is_ok() {
        hub.wake_all();
    }
}
