//! Connects the layers: binds first, spawns after, and orders the shutdown.

mod doors;
mod pump;
mod reload;
mod telemetry;

use std::{
    io, net::SocketAddr, num::NonZero, sync::Arc, thread::available_parallelism, time::Duration,
};

use tokio::{
    net::TcpListener,
    select,
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval, sleep},
};

pub use self::reload::Reloader;
use crate::{
    auth::Authenticator,
    channel_demand::Demand,
    config::Config,
    hub::Hub,
    publish,
    service_manager::ServiceManager,
    shutdown::Shutdown,
    source::{PostgresSource, Source, conninfo::ConnInfo},
    transport::{self, Admission},
};
use doors::{bind, doors};
use pump::Pump;
use reload::{Begun, Parts, Reloads};
use telemetry::Telemetry;

/// Number of batches when many readers are drained.
const STEPS: u32 = 20;

/// Smallest batch.
const CROWD: usize = 100;

/// Interval between evictions of what is too old.
const SWEEP: Duration = Duration::from_secs(1);

/// Reason why the gateway does not run.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// An address of this setting cannot be bound.
    #[error("cannot listen on {0} (--{1}): {2}")]
    Bind(SocketAddr, &'static str, io::Error),
    /// A task that should never end has ended, so nothing is certain any more.
    #[error("a part of the gateway has failed: {0}")]
    Worker(String),
    /// The build is defective.
    #[error("the description of the gRPC service cannot be read: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
}

impl AppError {
    /// The setting and its address, if another program listens there.
    pub fn taken(&self) -> Option<(&'static str, SocketAddr)> {
        match self {
            Self::Bind(address, setting, error) if error.kind() == io::ErrorKind::AddrInUse => {
                Some((setting, *address))
            }
            _ => None,
        }
    }
}

/// A gateway that has bound its addresses, and does not serve yet.
#[derive(Debug)]
pub struct Gateway {
    config: Config,
    listener: TcpListener,
    service_manager: ServiceManager,
    admin: Option<TcpListener>,
    reloader: Reloader,
    reloads: Reloads,
}

impl Gateway {
    /// Binds the addresses of `config`.
    ///
    /// # Errors
    /// An address cannot be bound.
    pub fn bind(config: Config) -> Result<Self, AppError> {
        let listener = bind(config.listen, "listen")?;
        let admin = config.admin_listen;
        let admin = admin
            .map(|address| bind(address, "admin-listen"))
            .transpose()?;
        let (reloader, reloads) = reload::channel();
        Ok(Self {
            config,
            listener,
            service_manager: ServiceManager::default(),
            admin,
            reloader,
            reloads,
        })
    }

    /// Sets the service manager to notify when it serves and when it ends.
    pub fn notify_service_manager(&mut self, service_manager: ServiceManager) {
        self.service_manager = service_manager;
    }

    /// Serves another database than the configured one.
    pub fn connect_to(&mut self, database: Arc<ConnInfo>) {
        self.config.database = database;
    }

    /// Address of the listener, with the actual port if port 0 was configured.
    ///
    /// # Errors
    /// The operating system does not report it.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// The same for the admin address, if there is one.
    ///
    /// # Errors
    /// The operating system does not report it.
    pub fn admin_addr(&self) -> io::Result<Option<SocketAddr>> {
        self.admin.as_ref().map(TcpListener::local_addr).transpose()
    }

    /// Handle for reloading the settings while it serves.
    pub fn reloader(&self) -> Reloader {
        self.reloader.clone()
    }

    /// Serves until `shutdown` begins; returns when every reader was notified and
    /// has left, or the drain time is over.
    ///
    /// # Errors
    /// The build is defective, or a task of the gateway has failed.
    pub async fn run(self, shutdown: Shutdown) -> Result<(), AppError> {
        let Self {
            config,
            listener,
            service_manager,
            admin,
            reloads,
            reloader: _reloader,
        } = self;
        let begun = Begun::with(&config);
        let demand = Demand::default();
        let hub = Hub::new(config.hub, demand.clone());
        let (publisher, requests) = publish::channel();
        let auth = Authenticator::new(config.auth);
        let admission = Admission::new(
            hub.clone(),
            publisher,
            auth.clone(),
            config.browsers,
            config.transport,
            config.limits,
        );
        let (listening, second) = PostgresSource::new(config.database, config.source, requests);
        let telemetry = {
            let tls = config.tls.clone();
            Telemetry::begin(&hub, &listening, &admission, tls, config.otlp)
        };
        let doors = doors((listener, config.tls.clone()), admin, |front| {
            transport::router(admission.clone(), telemetry.pages(), front)
        })?;
        let mut workers = JoinSet::new();
        let pump = Pump {
            hub: hub.clone(),
            service_manager: service_manager.clone(),
            sent_at: telemetry.sent_at,
            traces: telemetry.traces,
        };
        workers.spawn(pump.run(listening.items(demand)));
        workers.spawn(second.run());
        let parts = Parts {
            hub: hub.clone(),
            auth,
            admission: admission.clone(),
            tls: config.tls,
        };
        keep(&mut workers, &parts);
        workers.spawn(reload::follow(reloads, parts, begun));
        service_manager.ready().await;
        let result = select! {
            () = transport::serve(doors, admission, &shutdown) => Ok(()),
            ended = workers.join_next() => Err(AppError::Worker(format!("{ended:?}"))),
        };
        let drained = Instant::now() + config.drain_timeout;
        service_manager.stopping(config.drain_timeout).await;
        send_away(&hub, config.drain_timeout / 2).await;
        shutdown.told.cancel();
        shutdown.ended(drained).await;
        // The source ends last: until here the readers waited for its events.
        workers.shutdown().await;
        if let Some(exporting) = telemetry.exporting {
            exporting.end(drained).await;
        }
        result
    }
}

/// Spawns the tasks that run as long as the gateway and serve no requests.
fn keep(workers: &mut JoinSet<()>, parts: &Parts) {
    workers.spawn(parts.auth.clone().keep_fresh());
    workers.spawn(sweep(parts.hub.clone()));
    workers.spawn(reload::wake(parts.auth.clone(), parts.hub.clone()));
    if let Some(tls) = &parts.tls {
        workers.spawn(tls.clone().watch());
    }
    for writer in parts.hub.fanout_workers(writers()) {
        workers.spawn(writer.run());
    }
}

/// Half of the cores write; client messages, the database and the kernel's own
/// work have the others. More workers than that made a delivery more expensive.
fn writers() -> usize {
    available_parallelism().map_or(1, NonZero::get).div_ceil(2)
}

/// Ends every reader's stream, so that the client reconnects: many readers not
/// all at once, or they would reach the next gateway together.
async fn send_away(hub: &Hub, limit: Duration) {
    hub.close();
    let step = (hub.readers() / STEPS as usize).max(CROWD);
    while hub.end(step) > 0 {
        sleep(limit / STEPS).await;
    }
}

async fn sweep(hub: Hub) {
    let mut ticks = interval(SWEEP);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        hub.sweep();
    }
}
