//! A private PostgreSQL server that lives in a temporary folder and ends with its owner.
//!
//! For `pgfan demo` and for tests that need a real server. It listens on 127.0.0.1 and on a Unix socket inside its
//! folder. Guarantees, however the process that started it ends:
//!
//! - dropped, also by a panic: the server is stopped and the folder removed before the drop returns;
//! - killed, `SIGKILL` included: a guardian process does the same a moment later;
//! - Ctrl-C: the server is in a process group of its own and does not receive it, so it ends after its clients;
//! - started by root: the server runs as `postgres` or, failing that, `nobody` (PostgreSQL refuses to run as root).
//!
//! The data is discarded, so it is not protected against a crash of the machine (`fsync = off`), and any client of
//! 127.0.0.1 is its superuser. If other people use the same machine, disable TCP with the setting `listen_addresses =
//! ''` and connect through [`Sandbox::socket_url`]: the folder is closed to others.
//!
//! Waits are measured with tokio's clock: a paused clock (`start_paused`) ends them at once.

mod account;
mod binaries;
mod error;
mod guardian;
mod options;
mod place;
mod server;
#[cfg(test)]
mod tests;

use std::{
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    time::Duration,
};

pub use self::{
    binaries::{Binaries, Search},
    error::SandboxError,
    options::{Mode, Options},
};
use self::{guardian::Guardian, place::Place, server::Server};

/// The superuser of every sandbox; it needs no password.
pub const USER: &str = "pgfan";

/// Range of the ports: below that of outgoing connections on Linux (32768 up) and macOS (49152 up). From that range a
/// client that retries a stopped server could get the server's own port as its source, connect to itself, and so block
/// the server's restart.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// Number of ports examined; with a dozen servers on the machine two are enough.
const PORTS_LOOKED_AT: usize = 200;

/// Number of free ports tried: another process may take one between the check and the start.
const PORT_ATTEMPTS: usize = 5;

/// Timeout until a server accepts connections; 50 ms are usual, crash recovery takes longer.
const START_LIMIT: Duration = Duration::from_secs(30);

/// Timeout of a stop; fast and immediate ones take 20 ms, a smart one as long as its clients.
const STOP_LIMIT: Duration = Duration::from_secs(10);

/// A running or stopped server with its folder; dropping it ends both, which blocks for about 0.1 s and at most about
/// 10 s.
#[derive(Debug)]
pub struct Sandbox {
    server: Option<Server>,
    settings: Vec<(String, String)>,
    port: u16,
    guardian: Guardian,
    place: Place,
}

impl Sandbox {
    /// Makes a new folder and a new database cluster (UTF8, C locale) in it, and starts its server; about 0.6 s.
    ///
    /// # Errors
    /// See [`SandboxError`]; a start that fails, or is dropped half-way, leaves nothing behind.
    pub async fn start(options: Options) -> Result<Self, SandboxError> {
        Self::begin(options, None).await
    }

    /// Makes a standby of this server and starts it: a copy that replicates over its Unix socket; about 1 s.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn start_standby(&self, options: Options) -> Result<Self, SandboxError> {
        Self::begin(options, Some(&self.socket_url())).await
    }

    /// Creates a new cluster, or a copy of the one at `primary`.
    async fn begin(options: Options, primary: Option<&str>) -> Result<Self, SandboxError> {
        let settings = options.all_settings();
        let place = Place::create(options.binaries, options.parent.as_deref())?;
        let mut sandbox = Self {
            server: None,
            settings,
            port: 0,
            guardian: Guardian::of(&place)?,
            place,
        };
        match primary {
            None => sandbox.place.init().await?,
            Some(primary) => sandbox.place.copy(primary).await?,
        }
        sandbox.open(free_ports()).await?;
        Ok(sandbox)
    }

    /// The connection string of database `postgres` over TCP.
    pub fn url(&self) -> String {
        format!("postgresql://{USER}@127.0.0.1:{}/postgres", self.port)
    }

    /// The connection string of database `postgres` over the Unix socket, in libpq's key=value form.
    pub fn socket_url(&self) -> String {
        let folder = self.socket_dir().display();
        format!(
            "host='{folder}' port={} user={USER} dbname=postgres",
            self.port
        )
    }

    /// The folder of the Unix socket and of the sandbox: only the server's user and root may enter.
    pub fn socket_dir(&self) -> &Path {
        self.place.folder()
    }

    /// The folder of the cluster's files, such as `pg_hba.conf`.
    pub fn data_dir(&self) -> PathBuf {
        self.place.data()
    }

    /// The TCP port, unchanged by restarts.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The process id of the postmaster; `None` after [`Self::stop`] and [`Self::kill`].
    pub fn pid(&self) -> Option<u32> {
        self.server.as_ref().map(Server::pid)
    }

    /// Asks the server to stop and waits until all of its processes have ended; does nothing if it is stopped.
    ///
    /// # Errors
    /// [`SandboxError::StillRunning`] after 10 s. The request remains in force: the server may end later, and a stronger
    /// mode may follow.
    pub async fn stop(&mut self, mode: Mode) -> Result<(), SandboxError> {
        let Some(server) = &mut self.server else {
            return Ok(());
        };
        if !server.has_ended() {
            self.place.signal(server.pid(), mode.signal()).await?;
        }
        self.ended().await
    }

    /// Kills the postmaster with `SIGKILL` and waits until its orphaned processes have ended too.
    ///
    /// # Errors
    /// [`SandboxError::StillRunning`] after 10 s.
    pub async fn kill(&mut self) -> Result<(), SandboxError> {
        let Some(server) = &mut self.server else {
            return Ok(());
        };
        server.kill();
        self.ended().await?;
        self.place.forget_pid();
        Ok(())
    }

    /// Starts the stopped server again: same folder, same port, same settings.
    ///
    /// # Errors
    /// [`SandboxError::AlreadyRunning`], or as [`Self::start`].
    pub async fn start_again(&mut self) -> Result<(), SandboxError> {
        if self
            .server
            .as_ref()
            .is_some_and(|server| !server.has_ended())
        {
            return Err(SandboxError::AlreadyRunning);
        }
        self.launch().await
    }

    /// Starts on the first of `ports` that no other process holds.
    async fn open(&mut self, ports: impl Iterator<Item = u16>) -> Result<(), SandboxError> {
        let mut outcome = Err(SandboxError::NoPort);
        for port in ports {
            self.port = port;
            outcome = self.launch().await;
            if !matches!(&outcome, Err(error) if error.is_address_in_use()) {
                break;
            }
        }
        outcome
    }

    /// One attempt to start the server on the port that is set.
    async fn launch(&mut self) -> Result<(), SandboxError> {
        let command = self.place.server(self.port, &self.settings);
        let server =
            Server::spawn(command).map_err(|source| self.place.cannot_run("postgres", source))?;
        let started = self.server.insert(server).ready(START_LIMIT).await;
        if started.is_err() {
            // The first error is the one that counts; a server that does not stop now is killed on drop.
            let _ = self.stop(Mode::Immediate).await;
        }
        started
    }

    /// Waits for the requested end and drops the process.
    async fn ended(&mut self) -> Result<(), SandboxError> {
        if let Some(server) = &mut self.server {
            server.ended(STOP_LIMIT).await?;
            server.reap();
        }
        self.server = None;
        Ok(())
    }
}

impl Drop for Sandbox {
    /// The guardian ends the server, as after a `SIGKILL`. The postmaster is reaped meanwhile: as a zombie it looks
    /// alive to `pg_ctl`.
    fn drop(&mut self) {
        let guarded = self.guardian.release();
        if let Some(server) = &mut self.server {
            if !guarded {
                server.kill();
            }
            server.reap();
        }
        self.place.forget_pid();
        self.guardian.wait();
    }
}

/// Ports without a listener at the moment, at most [`PORT_ATTEMPTS`].
fn free_ports() -> impl Iterator<Item = u16> {
    std::iter::repeat_with(|| fastrand::u16(PORTS))
        .take(PORTS_LOOKED_AT)
        .filter(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
        .take(PORT_ATTEMPTS)
}
