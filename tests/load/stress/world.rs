//! Two gateways on a PostgreSQL server of their own, one of them with TLS; the
//! writer and the faults.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use fastrand::Rng;
use pgfan::temp_postgres::Sandbox;
use socket2::SockRef;
use tokio::{
    net::TcpSocket,
    time::{Instant, sleep},
};
use tokio_postgres::{Client, NoTls, error::SqlState};

use super::{
    ledger::{CHANNELS, COMMON, GATEWAYS, Outcome, name, payload},
    shared::Shared,
    stream::Wire,
};
use crate::support::{
    Connection,
    gateway_process::GatewayProcess,
    own_server,
    program::signal,
    tls::{Certificates, HOST, TlsClient},
};

/// Short times and limits: a session becomes suspect, a channel is given up, a
/// cursor becomes too old, and a reader that does not read is closed soon.
const SETTINGS: [(&str, &str); 7] = [
    ("PGFAN_HEARTBEAT_INTERVAL", "500ms"),
    ("PGFAN_HEARTBEAT_TIMEOUT", "1500ms"),
    ("PGFAN_LINGER", "300ms"),
    ("PGFAN_HISTORY_EVENTS", "100"),
    ("PGFAN_HISTORY_BYTES", "2MiB"),
    ("PGFAN_KEEPALIVE", "100ms"),
    ("PGFAN_WRITE_TIMEOUT", "3s"),
];

/// The receive buffer and segment size of a slow client. Small segments keep the
/// gateway's send buffer small too.
const SMALL_BUFFER: u32 = 4096;
const SMALL_SEGMENT: u32 = 536;

/// All notes are queued before the division by $3, which at 0 rolls them back.
const WRITE: &str = "SELECT count(pg_notify(channel, payload)) / $3::int \
    FROM unnest($1::text[], $2::text[]) AS note (channel, payload)";

/// Notes of one transaction: on each channel half of its history.
const BURST: usize = 600;

const PACE: Duration = Duration::from_millis(8);

const BACKENDS: &str = "SELECT pid FROM pg_stat_activity WHERE application_name = $1";

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    TerminateBackend,
    KillBackend,
    StopBackend,
    TerminateWriter,
    StopGateway,
    /// Reloads the settings, half of the times with another certificate.
    Hangup,
}

const FAULTS: [Fault; 12] = [
    Fault::TerminateBackend,
    Fault::TerminateBackend,
    Fault::TerminateBackend,
    Fault::KillBackend,
    Fault::StopBackend,
    Fault::TerminateWriter,
    Fault::TerminateWriter,
    Fault::StopGateway,
    Fault::StopGateway,
    Fault::Hangup,
    Fault::Hangup,
    Fault::Hangup,
];

/// The gateways' addresses.
pub struct Endpoints {
    addresses: [SocketAddr; GATEWAYS],
    /// The second gateway serves TLS only.
    tls: TlsClient,
}

pub struct World {
    server: Sandbox,
    gateways: [GatewayProcess; GATEWAYS],
    certificates: Certificates,
    pub endpoints: Arc<Endpoints>,
}

impl Endpoints {
    pub async fn connect(
        &self,
        gateway: usize,
        wire: Wire,
        is_slow: bool,
    ) -> Option<Box<dyn Connection>> {
        let socket = TcpSocket::new_v4().unwrap();
        if is_slow {
            socket.set_recv_buffer_size(SMALL_BUFFER).unwrap();
            SockRef::from(&socket).set_tcp_mss(SMALL_SEGMENT).unwrap();
        }
        let socket = socket.connect(self.addresses[gateway]).await.ok()?;
        if gateway == 0 {
            return Some(Box::new(socket));
        }
        let secured = self.tls.over(socket, wire.protocol()).await.ok()?;
        Some(Box::new(secured))
    }
}

impl World {
    pub async fn new() -> Self {
        let server = own_server(&[]).await;
        let certificates = Certificates::new();
        let (cert, key) = (certificates.path("cert"), certificates.path("key"));
        let url = server.url();
        let plain = [&[("PGFAN_DATABASE_URL", url.as_str())], &SETTINGS[..]].concat();
        let tls = [("PGFAN_TLS_CERT", cert.as_str()), ("PGFAN_TLS_KEY", &key)];
        let secured = [&plain[..], &tls].concat();
        let gateways = [
            GatewayProcess::with_variables(&plain).await,
            GatewayProcess::with_variables(&secured).await,
        ];
        let endpoints = Endpoints {
            addresses: [gateways[0].address, gateways[1].address],
            tls: certificates.client(),
        };
        Self {
            server,
            gateways,
            certificates,
            endpoints: Arc::new(endpoints),
        }
    }

    pub fn url(&self) -> String {
        self.server.url()
    }

    /// Until then, or until something is found; how many of each.
    pub async fn run_faults(
        &self,
        shared: &Shared,
        rng: &mut Rng,
        end: Instant,
    ) -> BTreeMap<Fault, u32> {
        let mut counts = BTreeMap::new();
        while Instant::now() < end && shared.findings().is_empty() {
            let fault = *rng.choice(&FAULTS).expect("there are faults");
            let time = Duration::from_millis(rng.u64(50..2500));
            self.inject(fault, time, rng).await;
            *counts.entry(fault).or_default() += 1;
            sleep(Duration::from_millis(rng.u64(50..1200))).await;
        }
        counts
    }

    async fn inject(&self, fault: Fault, time: Duration, rng: &mut Rng) {
        let gateway = rng.usize(0..GATEWAYS);
        let gateway = &self.gateways[gateway].program;
        match fault {
            Fault::TerminateBackend => drop(self.signal_backend("pgfan", "TERM", rng).await),
            Fault::KillBackend => drop(self.signal_backend("pgfan", "KILL", rng).await),
            Fault::TerminateWriter => drop(self.signal_backend("stress", "TERM", rng).await),
            Fault::StopBackend => {
                let stopped = self.signal_backend("pgfan", "STOP", rng).await;
                sleep(time).await;
                if let Some(pid) = stopped {
                    signal(pid, "CONT").await;
                }
            }
            Fault::StopGateway => {
                gateway.signal("STOP").await;
                sleep(time).await;
                gateway.signal("CONT").await;
            }
            Fault::Hangup => {
                if rng.bool() {
                    let authority = &self.certificates.authority;
                    self.certificates.put(&authority.server(&[HOST]));
                }
                gateway.signal("HUP").await;
            }
        }
    }

    /// One of them, if there is one and the server answers.
    async fn signal_backend(&self, application: &str, name: &str, rng: &mut Rng) -> Option<u32> {
        let client = connected(&self.url()).await?;
        let rows = client.query(BACKENDS, &[&application]).await.ok()?;
        let pids: Vec<i32> = rows.iter().map(|row| row.get(0)).collect();
        let pid = rng.choice(pids)?.unsigned_abs();
        signal(pid, name).await.then_some(pid)
    }
}

async fn connected(url: &str) -> Option<Client> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.ok()?;
    tokio::spawn(connection);
    Some(client)
}

/// Writes one transaction after the other until then, or until something is
/// found; returns when the last one has ended.
pub async fn write(shared: &Shared, url: &str, rng: &mut Rng, end: Instant) {
    let url = format!("{url}?application_name=stress");
    let mut client = None;
    while Instant::now() < end && shared.findings().is_empty() {
        if client.as_ref().is_none_or(Client::is_closed) {
            client = connected(&url).await;
        }
        if let Some(client) = &client {
            write_some(shared, client, rng).await;
        }
        sleep(PACE).await;
    }
}

/// A common channel and another are quiet, so that cursors stand still there.
fn some_channel(rng: &mut Rng) -> usize {
    let channel = rng.usize(0..CHANNELS);
    let is_quiet = channel.is_multiple_of(COMMON) && rng.u32(0..20) != 0;
    if is_quiet { channel + 1 } else { channel }
}

/// A burst overtakes a reader that does not read just then.
async fn write_some(shared: &Shared, client: &Client, rng: &mut Rng) {
    let is_burst = rng.u32(0..80) == 0;
    let count = *rng.choice(&[1, 1, 2, 4, 16]).expect("a choice");
    let count = if is_burst { BURST } else { count };
    let channels: Vec<_> = (0..count).map(|_| some_channel(rng)).collect();
    let divisor = i32::from(rng.u32(0..10) != 0);
    let (transaction, notes) = shared.ledger().begin(&channels);
    let names: Vec<_> = channels.iter().map(|channel| name(*channel)).collect();
    let payloads: Vec<_> = notes.iter().map(|note| payload(*note)).collect();
    let outcome = match client.query(WRITE, &[&names, &payloads, &divisor]).await {
        Ok(_) => Outcome::Committed,
        Err(error) if error.code() == Some(&SqlState::DIVISION_BY_ZERO) => Outcome::RolledBack,
        Err(_) => Outcome::Open,
    };
    shared.ledger().ended(transaction, outcome);
}
