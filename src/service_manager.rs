//! Tells the service manager that started the gateway how it is: systemd's
//! `Type=notify` (<https://www.freedesktop.org/software/systemd/man/latest/sd_notify.html>).
//!
//! One datagram a message, to the socket that `NOTIFY_SOCKET` names; without
//! one nobody is told, and nothing else changes.

use std::{
    fmt, io,
    os::unix::net::{SocketAddr, UnixDatagram as StdDatagram},
    sync::Arc,
    time::Duration,
};

use rustix::time::{ClockId, clock_gettime};
use tokio::{
    net::UnixDatagram,
    time::{Interval, MissedTickBehavior, interval, timeout},
};
use tracing::warn;

/// A message that changes the service's state waits so long for room in the
/// manager's queue: at boot many services speak at once.
const PATIENCE: Duration = Duration::from_secs(1);

/// What an ordered end takes besides the drain time.
const AFTER_DRAIN: Duration = Duration::from_secs(5);

/// Beats in one watchdog time: one that finds the queue full is made up for by
/// the next.
const BEATS: u32 = 3;

/// The variables of the process.
type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Cheap to clone; the default is nobody.
#[derive(Debug, Clone, Default)]
pub struct ServiceManager {
    socket: Option<Arc<UnixDatagram>>,
    /// After so long without a beat the gateway is killed.
    watchdog: Option<Duration>,
}

/// Beats as long as it is polled. So it is polled by the task that has to be
/// alive.
#[derive(Debug)]
pub struct Watchdog {
    service_manager: ServiceManager,
    beats: Option<Interval>,
}

/// What can be said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State<'a> {
    Ready,
    /// With the monotonic clock's time, which tells the manager to what the
    /// next `Ready` is the answer.
    Reloading(Duration),
    /// And so long it may take.
    Stopping(Duration),
    /// For people, who see it in `systemctl status`.
    Status(&'a str),
    Alive,
}

impl fmt::Display for State<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ready => f.write_str("READY=1"),
            Self::Reloading(now) => write!(f, "RELOADING=1\nMONOTONIC_USEC={}", now.as_micros()),
            Self::Stopping(limit) => {
                let limit = limit.as_micros();
                write!(f, "STOPPING=1\nEXTEND_TIMEOUT_USEC={limit}")
            }
            Self::Status(text) => write!(f, "STATUS={text}"),
            Self::Alive => f.write_str("WATCHDOG=1"),
        }
    }
}

impl ServiceManager {
    /// The one that started this process, if there is one. To be called inside
    /// the runtime. A socket that cannot be reached is warned of: the gateway
    /// serves all the same.
    pub fn of(environment: Environment<'_>) -> Self {
        let Some(name) = environment("NOTIFY_SOCKET").filter(|name| !name.is_empty()) else {
            return Self::default();
        };
        match connect(&name) {
            Ok(socket) => Self {
                socket: Some(Arc::new(socket)),
                watchdog: watchdog(environment, std::process::id()),
            },
            Err(error) => {
                warn!(%name, reason = %error, "the service manager cannot be told (NOTIFY_SOCKET)");
                Self::default()
            }
        }
    }

    /// The port is open and every part is at work. Not that the database is
    /// there: the gateway waits for it by itself, and so do its readers.
    pub async fn ready(&self) {
        self.tell(State::Ready).await;
    }

    /// Settings are read again, until the next `ready`.
    pub async fn reloading(&self) {
        let now = clock_gettime(ClockId::Monotonic);
        let seconds = Duration::from_secs(now.tv_sec.unsigned_abs());
        let now = seconds + Duration::from_nanos(now.tv_nsec.unsigned_abs());
        self.tell(State::Reloading(now)).await;
    }

    /// The end has begun, and the readers have `drain` to leave: the manager
    /// waits for so long, whatever its own limit.
    pub async fn stopping(&self, drain: Duration) {
        self.tell(State::Stopping(drain + AFTER_DRAIN)).await;
    }

    /// One line for people. Never waits: one that finds the queue full is lost.
    pub fn status(&self, text: &str) {
        self.try_tell(State::Status(text));
    }

    /// Its first beat is at once.
    pub fn watchdog(&self) -> Watchdog {
        let beats = self.watchdog.map(|limit| {
            let mut beats = interval(limit / BEATS);
            beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
            beats
        });
        Watchdog {
            service_manager: self.clone(),
            beats,
        }
    }

    async fn tell(&self, state: State<'_>) {
        let Some(socket) = &self.socket else { return };
        let text = state.to_string();
        match timeout(PATIENCE, socket.send(text.as_bytes())).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => {
                warn!(?state, reason = %error, "the service manager cannot be told");
            }
            Err(_) => warn!(?state, "the service manager does not listen"),
        }
    }

    fn try_tell(&self, state: State<'_>) {
        if let Some(socket) = &self.socket {
            let _ = socket.try_send(state.to_string().as_bytes());
        }
    }
}

impl Watchdog {
    /// Tells that its task is alive when it is time to, for ever. Cancel-safe.
    pub async fn beat(&mut self) {
        match &mut self.beats {
            Some(beats) => beats.tick().await,
            None => std::future::pending().await,
        };
        self.service_manager.try_tell(State::Alive);
    }
}

/// A path, or with `@` a name that Linux keeps outside of all folders.
fn connect(name: &str) -> io::Result<UnixDatagram> {
    let address = match name.strip_prefix('@') {
        Some(name) => outside_of_folders(name)?,
        None => SocketAddr::from_pathname(name)?,
    };
    let socket = StdDatagram::unbound()?;
    socket.connect_addr(&address)?;
    socket.set_nonblocking(true)?;
    UnixDatagram::from_std(socket)
}

#[cfg(target_os = "linux")]
fn outside_of_folders(name: &str) -> io::Result<SocketAddr> {
    use std::os::linux::net::SocketAddrExt as _;
    SocketAddr::from_abstract_name(name)
}

#[cfg(not(target_os = "linux"))]
fn outside_of_folders(_: &str) -> io::Result<SocketAddr> {
    Err(io::ErrorKind::Unsupported.into())
}

/// `WATCHDOG_USEC`, unless it is meant for another process. What is no time
/// above zero asks for nothing.
fn watchdog(environment: Environment<'_>, own_pid: u32) -> Option<Duration> {
    let number = |name| environment(name).and_then(|text| text.parse::<u64>().ok());
    let is_other = environment("WATCHDOG_PID").is_some_and(|pid| pid != own_pid.to_string());
    let limit = number("WATCHDOG_USEC").filter(|&limit| limit >= u64::from(BEATS) && !is_other);
    limit.map(Duration::from_micros)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_state_is_said_as_the_manual_has_it() {
        for (state, said) in [
            (State::Ready, "READY=1"),
            (
                State::Reloading(Duration::from_micros(1_500_000)),
                "RELOADING=1\nMONOTONIC_USEC=1500000",
            ),
            (
                State::Stopping(Duration::from_secs(15)),
                "STOPPING=1\nEXTEND_TIMEOUT_USEC=15000000",
            ),
            (State::Status("live"), "STATUS=live"),
            (State::Alive, "WATCHDOG=1"),
        ] {
            assert_eq!(state.to_string(), said);
        }
    }

    #[test]
    fn a_watchdog_is_for_the_process_that_it_names() {
        for (time, pid, expected) in [
            (Some("30000000"), None, Some(30)),
            (Some("30000000"), Some("7"), Some(30)),
            (Some("30000000"), Some("8"), None),
            (Some("0"), None, None),
            (Some("soon"), None, None),
            (None, Some("7"), None),
        ] {
            let variable = |name: &str| {
                let value = if name == "WATCHDOG_PID" { pid } else { time };
                value.map(str::to_owned)
            };
            let found = watchdog(&variable, 7);
            assert_eq!(found, expected.map(Duration::from_secs), "{time:?} {pid:?}");
        }
    }

    #[tokio::test]
    async fn a_socket_is_a_path_or_a_name() {
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("notify").display().to_string();
        let manager = UnixDatagram::bind(&path).unwrap();
        let named = format!("@{path}");
        let address = outside_of_folders(&path).unwrap();
        let other = StdDatagram::bind_addr(&address).unwrap();
        other.set_nonblocking(true).unwrap();
        let other = UnixDatagram::from_std(other).unwrap();
        for (name, socket) in [(&path, &manager), (&named, &other)] {
            let service_manager = ServiceManager::of(&|_| Some(name.clone()));
            service_manager.reloading().await;
            service_manager.ready().await;
            for begin in ["RELOADING=1\nMONOTONIC_USEC=", "READY=1"] {
                let mut said = [0; 100];
                let length = socket.recv(&mut said).await.unwrap();
                let said = String::from_utf8_lossy(&said[..length]);
                assert!(said.starts_with(begin), "{said}");
            }
        }
    }

    #[tokio::test]
    async fn a_gateway_that_nobody_supervises_serves_all_the_same() {
        for name in ["", "/nowhere/notify", "vsock:2:1234"] {
            let service_manager = ServiceManager::of(&|_| Some(name.to_owned()));
            assert!(service_manager.socket.is_none(), "{name}");
            service_manager.ready().await;
            service_manager.status("live");
        }
    }
}
