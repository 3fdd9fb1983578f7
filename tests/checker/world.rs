//! The gateway as a process, its server, and the links around it, with methods
//! to break each of them.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use fastrand::Rng;
use pgfan::temp_postgres::{Mode, Sandbox};
use tokio::{sync::watch, time::sleep};

use crate::{
    application::{self, Database, Known, View, Writer},
    faults::Fault,
    support::{Link, gateway_process::GatewayProcess, program::signal},
};

/// Short times and limits: a session becomes suspect, a channel is given up, a
/// cursor becomes too old, and a reader that does not read is closed soon.
const SETTINGS: [(&str, &str); 8] = [
    ("PGFAN_HEARTBEAT_INTERVAL", "250ms"),
    ("PGFAN_HEARTBEAT_TIMEOUT", "600ms"),
    ("PGFAN_LINGER", "500ms"),
    ("PGFAN_HISTORY_EVENTS", "50"),
    ("PGFAN_HISTORY_BYTES", "1MiB"),
    ("PGFAN_KEEPALIVE", "500ms"),
    ("PGFAN_WRITE_TIMEOUT", "3s"),
    ("PGFAN_DRAIN_TIMEOUT", "2s"),
];

const BACKENDS: &str = "SELECT pid FROM pg_stat_activity \
    WHERE application_name = 'pgfan' AND $1::int > 0 ORDER BY pid";

const TERMINATE: &str = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
    WHERE application_name = 'pgfan' AND $1::int > 0";

pub struct World {
    server: Sandbox,
    /// Between the gateway and the server.
    pub link: Link,
    /// Between some readers and the gateway.
    pub readers_link: Arc<Link>,
    pub gateway: GatewayProcess,
    /// Number of gateway processes so far.
    pub gateways: u32,
    address: watch::Sender<SocketAddr>,
    writing: watch::Sender<bool>,
    known: Arc<Known>,
    /// Those of the keepers, the churn, the writer, and the faults.
    databases: [Arc<Database>; 4],
}

impl World {
    pub async fn new() -> Self {
        let server = application::server().await;
        let link = Link::to(server.port()).await;
        let gateway = serve(&link).await;
        let readers_link = Link::to(gateway.address.port()).await;
        Self {
            databases: std::array::from_fn(|_| Database::of(&server)),
            address: watch::channel(gateway.address).0,
            writing: watch::channel(false).0,
            known: Arc::new(Known::new()),
            server,
            link,
            readers_link: Arc::new(readers_link),
            gateway,
            gateways: 1,
        }
    }

    /// View of a client that connects to the gateway directly.
    pub fn view(&self) -> View {
        self.view_of(self.address.subscribe(), 0)
    }

    /// View of a client that connects through the link.
    pub fn view_by_link(&self) -> View {
        let address = SocketAddr::from(([127, 0, 0, 1], self.readers_link.port));
        self.view_of(watch::channel(address).1, 0)
    }

    pub fn view_of_churn(&self) -> View {
        self.view_of(self.address.subscribe(), 1)
    }

    fn view_of(&self, address: watch::Receiver<SocketAddr>, database: usize) -> View {
        View {
            address,
            database: Arc::clone(&self.databases[database]),
            writing: self.writing.subscribe(),
            known: Arc::clone(&self.known),
        }
    }

    pub fn begin_to_write(&self, rng: Rng) -> Writer {
        self.writing.send_replace(true);
        Writer::start(Arc::clone(&self.databases[2]), rng)
    }

    /// Returns when nothing is written any more.
    pub async fn end_to_write(&self, writer: Writer) {
        writer.stop().await;
        self.writing.send_replace(false);
    }

    fn own(&self) -> &Database {
        &self.databases[3]
    }

    pub async fn burst(&self, rng: &mut Rng) {
        self.own().burst(rng).await;
    }

    pub async fn terminate(&self) {
        self.own().query(TERMINATE, 1).await;
    }

    /// A session of the gateway, if it has one now.
    async fn backend(&self, rng: &mut Rng) -> Option<u32> {
        let rows = self.own().query(BACKENDS, 1).await?;
        let pids: Vec<i32> = rows.iter().map(|row| row.get(0)).collect();
        let pid = rng.choice(pids)?;
        Some(pid.unsigned_abs())
    }

    pub async fn signal_backend(&self, name: &str, rng: &mut Rng) {
        if let Some(pid) = self.backend(rng).await {
            signal(pid, name).await;
        }
    }

    /// Suspends a backend for this time.
    pub async fn stop_backend(&self, time: Duration, rng: &mut Rng) {
        if let Some(pid) = self.backend(rng).await {
            signal(pid, "STOP").await;
            sleep(time).await;
            signal(pid, "CONT").await;
        }
    }

    /// Stops the server for this time.
    pub async fn restart_server(&mut self, how: Fault, time: Duration) {
        match how {
            Fault::KillServer => self.server.kill().await.unwrap(),
            Fault::SmartRestart => self.stop_smart().await,
            Fault::FastRestart => self.server.stop(Mode::Fast).await.unwrap(),
            _ => self.server.stop(Mode::Immediate).await.unwrap(),
        }
        sleep(time).await;
        self.server.start_again().await.unwrap();
    }

    /// A smart shutdown waits for every session to end: the application closes
    /// its own, and the gateway has to do so by itself.
    async fn stop_smart(&mut self) {
        let held_back = self.databases.iter().map(|database| database.held_back());
        let _held_back = futures_util::future::join_all(held_back).await;
        self.server.stop(Mode::Smart).await.unwrap();
    }

    /// Suspends the gateway for this time.
    pub async fn stop_gateway(&self, time: Duration) {
        self.gateway.program.signal("STOP").await;
        sleep(time).await;
        self.gateway.program.signal("CONT").await;
    }

    /// Ends it by SIGTERM; the next one is started before or after that.
    pub async fn end_gateway(&mut self, is_before: bool) {
        if is_before {
            self.replace_gateway().await.stop().await;
        } else {
            self.gateway.program.signal("TERM").await;
            let ended = self.replace_gateway().await.program.ended().await;
            assert_eq!(ended.status.code(), Some(0), "{}", ended.stderr);
        }
    }

    pub async fn kill_gateway(&mut self) {
        self.gateway.program.signal("KILL").await;
        let old = self.replace_gateway().await;
        old.program.ended().await;
    }

    /// Gives the readers the address of the new one, and returns the old one.
    async fn replace_gateway(&mut self) -> GatewayProcess {
        let new = serve(&self.link).await;
        self.gateways += 1;
        self.readers_link.lead_to(new.address.port());
        self.address.send_replace(new.address);
        std::mem::replace(&mut self.gateway, new)
    }
}

async fn serve(link: &Link) -> GatewayProcess {
    let port = link.port;
    let url = format!("postgresql://pgfan@127.0.0.1:{port}/postgres?connect_timeout=2");
    let mut variables = vec![("PGFAN_DATABASE_URL", url.as_str())];
    variables.extend(SETTINGS);
    GatewayProcess::with_variables(&variables).await
}
