//! `pgfan serve`: the gateway.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    signal::unix::{SignalKind, signal},
    task::{JoinHandle, spawn_blocking},
    time::{Instant, timeout_at},
};
use tracing::{error, info, warn};

use super::{CommandResult, check::machine, terminal};
use crate::{
    app::{AppError, Gateway, Reloader},
    config::{Config, Mistakes, environment, unknown_variables},
    service_manager::ServiceManager,
    shutdown::Shutdown,
};

/// `resolve` reads the settings, at the start and on each SIGHUP.
pub(super) async fn run<F>(resolve: F) -> CommandResult
where
    F: Fn() -> Result<Config, Mistakes> + Send + Sync + 'static,
{
    for unknown in unknown_variables() {
        warn!("{unknown}");
    }
    let resolve = Arc::new(resolve);
    let config = resolve()?;
    for warning in &config.warnings {
        let remedy = warning.remedy();
        warn!(remedy = (!remedy.is_empty()).then_some(remedy), "{warning}");
    }
    let (open, listen) = (config.auth.anonymous, config.listen);
    let (database, tokens) = (Arc::clone(&config.database), tokens(&config));
    let shutdown = Shutdown::default();
    shutdown.on_signals()?;
    let service_manager = ServiceManager::of(&environment);
    let mut gateway = Gateway::bind(config).map_err(|error| explained(&error, listen))?;
    let reload = Reload {
        resolve,
        reloader: gateway.reloader(),
        service_manager: service_manager.clone(),
    };
    reload.on_hangup(shutdown.clone())?;
    let address = gateway.local_addr()?;
    // Logged before the first session: the names are those of the settings.
    let (role, database) = (database.user(), database.places());
    info!(%address, database, role, tokens, "serving");
    if let Some(admin) = gateway.admin_addr()? {
        info!(%admin, "serving metrics, status and console");
    }
    if open && !address.ip().to_canonical().is_loopback() {
        warn!(%address, "everybody who reaches this address is let in (--anonymous)");
    }
    gateway.notify_service_manager(service_manager);
    Ok(gateway.run(shutdown).await?)
}

/// Whether a client needs a token.
fn tokens(config: &Config) -> &'static str {
    match (&config.auth.keys, config.auth.anonymous) {
        (None, _) => "not checked",
        (Some(_), true) => "optional",
        (Some(_), false) => "required",
    }
}

/// The error, and its remedy on a second line.
fn explained(error: &AppError, listen: SocketAddr) -> String {
    let AppError::Bind(address, setting, reason) = error else {
        return error.to_string();
    };
    let flag = format!("--{setting}");
    let remedy = match error.taken() {
        Some(_) if *setting != "listen" && machine::overlap(listen, *address) => {
            format!(
                "--listen has it already: give another port, or leave it out: {flag} ADDRESS:PORT"
            )
        }
        Some(_) => {
            format!("end the other program, or give another address: {flag} ADDRESS:PORT")
        }
        None => machine::remedy(reason, &flag),
    };
    format!("{error}\n{remedy}")
}

/// Timeout for reading the settings: more than any healthy disk needs, and as
/// long as an operator waits for the result of a reload.
const PATIENCE: Duration = Duration::from_secs(10);

/// Settings being read, on a thread of their own: one read at a time.
type ReadOptions = JoinHandle<Result<Config, Mistakes>>;

/// Reloads the settings on SIGHUP: all of them, or none if one is invalid.
struct Reload<F> {
    resolve: Arc<F>,
    reloader: Reloader,
    service_manager: ServiceManager,
}

impl<F> Reload<F>
where
    F: Fn() -> Result<Config, Mistakes> + Send + Sync + 'static,
{
    /// SIGHUP also arrives when the controlling terminal is closed; then the
    /// program ends.
    fn on_hangup(self, shutdown: Shutdown) -> io::Result<()> {
        let lives_in_terminal = terminal::is_lived_in();
        let mut hangup = signal(SignalKind::hangup())?;
        tokio::spawn(async move {
            let mut reading = None;
            while hangup.recv().await.is_some() {
                if lives_in_terminal && !terminal::is_there() {
                    info!("the terminal was closed: ending");
                    shutdown.begun.cancel();
                    return;
                }
                self.service_manager.reloading().await;
                self.reload(&mut reading).await;
                self.service_manager.ready().await;
            }
        });
        Ok(())
    }

    /// Reads on a blocking thread, since a disk may be slow: neither readers
    /// nor the next signal wait longer than [`PATIENCE`]. A read that still
    /// runs must end before the next one starts.
    async fn reload(&self, reading: &mut Option<ReadOptions>) {
        let limit = Instant::now() + PATIENCE;
        if let Some(before) = reading
            && timeout_at(limit, before).await.is_err()
        {
            return warn!("the settings are still being read: they stay as they were");
        }
        let resolve = Arc::clone(&self.resolve);
        let now = reading.insert(spawn_blocking(move || resolve()));
        let Ok(resolved) = timeout_at(limit, now).await else {
            return warn!("the settings take long to be read: they stay as they were");
        };
        *reading = None;
        let Ok(resolved) = resolved else {
            // The read panicked (and was logged), or the runtime is ending.
            return;
        };
        match resolved {
            Ok(config) => self.reloader.reload(config).await,
            Err(Mistakes(mistakes)) => {
                for mistake in mistakes {
                    let remedy = mistake.remedy();
                    error!(remedy = (!remedy.is_empty()).then_some(remedy), "{mistake}");
                }
                error!("the settings stay as they were");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::ErrorKind::{AddrInUse, AddrNotAvailable, PermissionDenied},
        sync::{Mutex, mpsc},
    };

    use tokio::time::advance;

    use super::*;

    #[test]
    fn an_address_that_cannot_be_had_is_told_with_what_to_do() {
        let listen = "127.0.0.1:8000".parse().unwrap();
        for (address, setting, kind, remedy) in [
            ("127.0.0.1:8000", "listen", AddrInUse, "end the other"),
            ("127.0.0.1:8001", "admin-listen", AddrInUse, "end the other"),
            ("0.0.0.0:8000", "admin-listen", AddrInUse, "--listen has it"),
            (
                "192.0.2.1:8000",
                "listen",
                AddrNotAvailable,
                "give an address of this machine: ",
            ),
            (
                "127.0.0.1:80",
                "listen",
                PermissionDenied,
                "give a port above 1023: ",
            ),
        ] {
            let error = AppError::Bind(address.parse().unwrap(), setting, kind.into());
            let told = explained(&error, listen);
            let told = told.lines().nth(1).unwrap_or_default();
            let is_right = told.starts_with(remedy) && told.contains(&format!("--{setting} "));
            let is_privileged = kind == PermissionDenied;
            let ways = ["AmbientCapabilities=", "setcap cap_net_bind_service=+ep"];
            for way in ways {
                assert_eq!(told.contains(way), is_privileged, "{told}");
            }
            assert!(is_right, "{address}: {told}");
        }
        let full = std::io::Error::from_raw_os_error(rustix::io::Errno::MFILE.raw_os_error());
        let told = explained(&AppError::Bind(listen, "listen", full), listen);
        assert!(told.contains("\nraise the limit of open files: "), "{told}");
    }

    /// A reload whose read blocks until it is released.
    fn reload(may_go_on: mpsc::Receiver<()>) -> Reload<impl Fn() -> Result<Config, Mistakes>> {
        let may_go_on = Mutex::new(may_go_on);
        let environment = |name: &str| (name == "PGUSER").then(|| "ann".to_owned());
        let flags = [("listen".to_owned(), "127.0.0.1:0".to_owned())].into();
        let gateway = Gateway::bind(Config::resolve(&flags, &environment, None).unwrap());
        let resolve = move || {
            may_go_on.lock().unwrap().recv().unwrap();
            Err(Mistakes::from("read, at last".to_owned()))
        };
        Reload {
            resolve: Arc::new(resolve),
            reloader: gateway.unwrap().reloader(),
            service_manager: ServiceManager::of(&|_| None),
        }
    }

    /// Single-threaded: the test continues while the settings are read.
    #[tokio::test]
    async fn settings_that_take_long_hold_up_nobody() {
        let (go_on, may_go_on) = mpsc::channel();
        let reload = reload(may_go_on);
        let mut reading = None;
        let others = async { go_on.send(()).unwrap() };
        tokio::join!(reload.reload(&mut reading), others);
        assert!(reading.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn settings_that_cannot_be_read_do_not_end_reloads() {
        let (go_on, may_go_on) = mpsc::channel();
        let reload = reload(may_go_on);
        let mut reading = None;
        for _ in 0..2 {
            tokio::join!(reload.reload(&mut reading), advance(PATIENCE));
            assert!(reading.is_some(), "one is read, and no more");
        }
        for _ in 0..2 {
            go_on.send(()).unwrap();
        }
        reload.reload(&mut reading).await;
        assert!(reading.is_none());
    }
}
