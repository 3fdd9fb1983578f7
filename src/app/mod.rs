//! Joins the layers: binds first, spawns after, and owns the order of the end.

mod pump;
mod reload;

use std::{
    io, net::SocketAddr, num::NonZero, sync::Arc, thread::available_parallelism, time::Duration,
};

use tokio::{
    net::{TcpListener, TcpSocket},
    select,
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval, sleep},
};

pub use self::reload::Reloader;
use self::{
    pump::Pump,
    reload::{Begun, Parts, Reloads},
};
use crate::{
    auth::Authenticator,
    config::Config,
    demand::Demand,
    hub::Hub,
    publish,
    shutdown::Shutdown,
    source::{PostgresSource, Source, conninfo::ConnInfo},
    supervisor::Supervisor,
    telemetry::{Format, Metrics, OtlpSettings, SentAt},
    transport::{self, Admission, App, Door, Pages, Side, Tls},
};

/// Connections that may wait to be accepted; the kernel caps it at its
/// `somaxconn`, 4096 by default.
const BACKLOG: u32 = 4096;

/// In so many steps a crowd is sent away.
const STEPS: u32 = 20;

/// So many readers are no crowd.
const CROWD: usize = 100;

/// How often what is too old is let go.
const SWEEP: Duration = Duration::from_secs(1);

/// Why there is no gateway.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// An address of this setting cannot be bound.
    #[error("cannot listen on {0} (--{1}): {2}")]
    Bind(SocketAddr, &'static str, io::Error),
    /// A part that should never end has: nobody could be sure of anything any
    /// more.
    #[error("a part of the gateway has failed: {0}")]
    Worker(String),
    /// The build is broken.
    #[error("the description of the gRPC service cannot be read: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
}

impl AppError {
    /// The setting and its address, where another program listens there.
    pub fn taken(&self) -> Option<(&'static str, SocketAddr)> {
        match self {
            Self::Bind(address, setting, error) if error.kind() == io::ErrorKind::AddrInUse => {
                Some((setting, *address))
            }
            _ => None,
        }
    }
}

/// A gateway that has its address, and does not serve yet.
#[derive(Debug)]
pub struct Gateway {
    config: Config,
    listener: TcpListener,
    supervisor: Supervisor,
    admin: Option<TcpListener>,
    reloader: Reloader,
    reloads: Reloads,
}

impl Gateway {
    /// Binds the addresses of `config`.
    ///
    /// # Errors
    /// One cannot be bound.
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
            supervisor: Supervisor::default(),
            admin,
            reloader,
            reloads,
        })
    }

    /// Who is told that it serves, and that it ends.
    pub fn supervised_by(&mut self, supervisor: Supervisor) {
        self.supervisor = supervisor;
    }

    /// Serves another database than its settings say.
    pub fn connect_to(&mut self, database: Arc<ConnInfo>) {
        self.config.database = database;
    }

    /// Where it listens; the port is the real one where 0 was asked for.
    ///
    /// # Errors
    /// The operating system does not say.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// The same of the address for those who run it, if there is one.
    ///
    /// # Errors
    /// The operating system does not say.
    pub fn admin_addr(&self) -> io::Result<Option<SocketAddr>> {
        self.admin.as_ref().map(TcpListener::local_addr).transpose()
    }

    /// What sets it anew while it serves.
    pub fn reloader(&self) -> Reloader {
        self.reloader.clone()
    }

    /// Serves until `shutdown` begins; returns when every reader was told and
    /// has left, or the drain time is over.
    ///
    /// # Errors
    /// The build is broken, or a part of the gateway has failed.
    pub async fn run(self, shutdown: Shutdown) -> Result<(), AppError> {
        let Self {
            config,
            listener,
            supervisor,
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
            publisher.clone(),
            auth.clone(),
            config.browsers,
            config.transport,
            config.limits,
        );
        let (listening, second) = PostgresSource::new(config.database, config.source, requests);
        let sent_at = Arc::new(SentAt::default());
        let (traces, mut exporting) = config.otlp.and_then(OtlpSettings::begin).unzip();
        let metrics = Arc::new(Metrics::new(
            hub.clone(),
            listening.counters(),
            admission.clone(),
            Arc::clone(&sent_at),
            traces.clone(),
        ));
        if let Some(exporting) = &mut exporting {
            exporting.add(&metrics);
        }
        let doors = doors((listener, config.tls.clone()), admin, |side| {
            transport::router(admission.clone(), pages(&metrics), side)
        })?;
        let mut workers = JoinSet::new();
        let pump = Pump {
            hub: hub.clone(),
            supervisor: supervisor.clone(),
            sent_at,
            traces,
        };
        workers.spawn(pump.run(listening.items(demand)));
        workers.spawn(second.run());
        workers.spawn(auth.clone().keep_fresh());
        workers.spawn(sweep(hub.clone()));
        workers.spawn(reload::wake(auth.clone(), hub.clone()));
        let parts = Parts {
            hub: hub.clone(),
            auth,
            admission: admission.clone(),
            tls: config.tls,
        };
        workers.spawn(reload::follow(reloads, parts, begun));
        for writer in hub.writers(writers()) {
            workers.spawn(writer.run());
        }
        supervisor.ready().await;
        let result = select! {
            () = transport::serve(doors, admission, &shutdown) => Ok(()),
            ended = workers.join_next() => Err(AppError::Worker(format!("{ended:?}"))),
        };
        let drained = Instant::now() + config.drain_timeout;
        supervisor.stopping(config.drain_timeout).await;
        send_away(&hub, config.drain_timeout / 2).await;
        shutdown.told.cancel();
        shutdown.ended(drained).await;
        // The source ends last: until here it was what the readers waited for.
        workers.shutdown().await;
        if let Some(exporting) = exporting {
            exporting.end(drained).await;
        }
        result
    }
}

/// Half of the cores write; what the clients say, the database and the kernel's
/// own work have the others. More writers than that made a delivery dearer.
fn writers() -> usize {
    available_parallelism().map_or(1, NonZero::get).div_ceil(2)
}

/// What is answered where. TLS is for clients: the other address is on a network
/// of one's own.
fn doors<E>(
    (listener, tls): (TcpListener, Option<Tls>),
    admin: Option<TcpListener>,
    router: impl Fn(Side) -> Result<App, E>,
) -> Result<Vec<Door>, E> {
    let side = if admin.is_some() {
        Side::Public
    } else {
        Side::Whole
    };
    let main = Door {
        listener,
        app: router(side)?,
        tls,
    };
    let mut doors = vec![main];
    if let Some(listener) = admin {
        doors.push(Door {
            listener,
            app: router(Side::Admin)?,
            tls: None,
        });
    }
    Ok(doors)
}

fn bind(address: SocketAddr, setting: &'static str) -> Result<TcpListener, AppError> {
    listen(address).map_err(|error| AppError::Bind(address, setting, error))
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Tells every reader to come back: a crowd not all at once, or it would be at
/// the next gateway's door as one.
async fn send_away(hub: &Hub, limit: Duration) {
    hub.close();
    let step = (hub.readers() / STEPS as usize).max(CROWD);
    while hub.end(step) > 0 {
        sleep(limit / STEPS).await;
    }
}

/// What the transports show and do not know.
fn pages(metrics: &Arc<Metrics>) -> Pages {
    let metrics = Arc::clone(metrics);
    Pages {
        metrics: Arc::new(move |accept| {
            let format = Format::of_accept(accept);
            (format.content_type(), metrics.text(format))
        }),
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
