//! Reload of the settings while serving: only clients that the new settings
//! forbid are disconnected.

use std::future::pending;

use tokio::sync::{mpsc, oneshot};
use tracing::{error, info, warn};

use crate::{
    auth::Authenticator,
    config::{Config, RestartOnly},
    hub::Hub,
    transport::{Admission, Tls},
};

/// Reloads that wait for the present one; one is enough, since the last counts.
const QUEUE: usize = 1;

/// Sends new settings to a running gateway. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Reloader(mpsc::Sender<Reload>);

/// Receiving end of [`Reloader`].
pub(super) type Reloads = mpsc::Receiver<Reload>;

#[derive(Debug)]
pub(super) struct Reload {
    config: Box<Config>,
    /// Notified once the settings hold.
    done: oneshot::Sender<()>,
}

pub(super) fn channel() -> (Reloader, Reloads) {
    let (sender, receiver) = mpsc::channel(QUEUE);
    (Reloader(sender), receiver)
}

impl Reloader {
    /// Returns when the settings hold: from then on no client is admitted by the
    /// old ones. Does nothing if the gateway has ended.
    pub async fn reload(&self, config: Config) {
        let (done, is_done) = oneshot::channel();
        let config = Box::new(config);
        if self.0.send(Reload { config, done }).await.is_ok() {
            let _ = is_done.await;
        }
    }
}

/// The parts that can be reloaded.
pub(super) struct Parts {
    pub(super) hub: Hub,
    pub(super) auth: Authenticator,
    pub(super) admission: Admission,
    pub(super) tls: Option<Tls>,
}

/// Settings from the start that a reload cannot change.
pub(super) struct Begun {
    pub(super) fixed: RestartOnly,
    /// Whether it can be reached from other machines.
    pub(super) is_far: bool,
}

impl Begun {
    pub(super) fn with(config: &Config) -> Self {
        Self {
            fixed: config.fixed.clone(),
            is_far: config.is_far(),
        }
    }
}

/// Never returns.
pub(super) async fn follow(mut reloads: Reloads, parts: Parts, begun: Begun) {
    while let Some(Reload { config, done }) = reloads.recv().await {
        if begun.is_far && config.is_for_loopback {
            error!("they let in who reaches a loopback address, and this gateway has another one");
            error!("the settings stay as they were");
            continue;
        }
        for name in begun.fixed.changed(&config.fixed) {
            warn!("--{name} has changed: that takes a restart");
        }
        for warning in &config.warnings {
            let remedy = warning.remedy();
            warn!(remedy = (!remedy.is_empty()).then_some(remedy), "{warning}");
        }
        set(&parts, *config);
        info!("the settings were read again");
        let _ = done.send(());
    }
    pending::<()>().await;
}

/// The access rules last: they make every stream check its rights again, and
/// after this no worker writes to a reader that has not.
fn set(parts: &Parts, config: Config) {
    parts.hub.reload(config.hub);
    let (browsers, settings) = (config.browsers, config.transport);
    parts.admission.reload(browsers, settings, config.limits);
    if let (Some(tls), Some(other)) = (&parts.tls, config.tls) {
        tls.reload(other);
    }
    parts.auth.reload(config.auth);
    parts.hub.wake_all();
}

/// Wakes every waiting reader to check its rights again, also after a change of
/// the signing keys. Never returns.
pub(super) async fn wake(auth: Authenticator, hub: Hub) {
    let mut changes = auth.changes();
    while changes.changed().await.is_ok() {
        hub.wake_all();
    }
}

#[cfg(test)]
mod tests {
    use std::{
        pin::pin,
        sync::{
            Arc,
            atomic::{AtomicBool, Ordering},
        },
        task::{Context, Wake, Waker},
    };

    use futures_util::{FutureExt, StreamExt};
    use tokio::select;

    use super::*;
    use crate::{channel_demand::Demand, event::WireName, hub::CLIENT};

    /// A configuration from these flags.
    fn config(flags: &[(&str, &str)]) -> Config {
        let flags = flags.iter().map(|(n, v)| (n.to_string(), v.to_string()));
        let environment = |name: &str| (name == "PGUSER").then(|| "ann".to_owned());
        Config::resolve(&flags.collect(), &environment, None).unwrap()
    }

    /// The parts of a gateway with these settings.
    fn parts(config: Config) -> (Parts, Begun) {
        let begun = Begun::with(&config);
        let hub = Hub::new(config.hub, Demand::default());
        let auth = Authenticator::new(config.auth);
        let admission = Admission::new(
            hub.clone(),
            crate::publish::channel().0,
            auth.clone(),
            config.browsers,
            config.transport,
            config.limits,
        );
        let parts = Parts {
            hub,
            auth,
            admission,
            tls: config.tls,
        };
        (parts, begun)
    }

    const SECRET: (&str, &str) = ("token-secret", "a-secret-of-thirty-two-bytes-or-more");

    #[tokio::test]
    async fn a_reload_is_over_when_its_settings_hold() {
        let (parts, begun) = parts(config(&[]));
        let auth = parts.auth.clone();
        let (reloader, reloads) = channel();
        let mut reload = pin!(reloader.reload(config(&[SECRET])));
        assert!(reload.as_mut().now_or_never().is_none());
        assert!(auth.without_token().is_ok());
        select! {
            () = follow(reloads, parts, begun) => {}
            () = reload => {}
        }
        assert!(auth.without_token().is_err());
    }

    /// An idle reader is not served by the old rules until it has been woken.
    #[tokio::test]
    async fn when_a_reload_is_over_all_readers_are_woken() {
        let (parts, begun) = parts(config(&[]));
        let mut reader = parts.hub.subscribe(WireName::WebSocket, CLIENT).unwrap();
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(woken.clone());
        let item = reader.poll_next_unpin(&mut Context::from_waker(&waker));
        assert!(item.is_pending() && !woken.0.load(Ordering::Relaxed));
        let (reloader, reloads) = channel();
        select! {
            () = follow(reloads, parts, begun) => {}
            () = reloader.reload(config(&[SECRET])) => {}
        }
        assert!(woken.0.load(Ordering::Relaxed));
    }

    #[derive(Default)]
    struct Woken(AtomicBool);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    /// Another address takes a restart, so rules that suit only that address are
    /// rejected before.
    #[tokio::test]
    async fn rules_for_the_loopback_are_not_taken_elsewhere() {
        let far = ("listen", "192.0.2.1:8000");
        let (anonymous, publish) = (("anonymous", "true"), ("allow-publish", "true"));
        for (begin, then, is_let_in) in [
            (&[far, SECRET][..], &[][..], false),
            (&[far, SECRET], &[anonymous, publish], false),
            (&[far, SECRET], &[far, anonymous], true),
            (&[far, SECRET], &[anonymous], true),
            (&[SECRET], &[], true),
        ] {
            let (parts, begun) = parts(config(begin));
            let auth = parts.auth.clone();
            let (reloader, reloads) = channel();
            select! {
                () = follow(reloads, parts, begun) => {}
                () = reloader.reload(config(then)) => {}
            }
            assert_eq!(auth.without_token().is_ok(), is_let_in, "{then:?}");
        }
    }
}
