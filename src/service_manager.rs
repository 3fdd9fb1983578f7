//! Notifications to the service manager that started the gateway: systemd's `Type=notify`
//! (<https://www.freedesktop.org/software/systemd/man/latest/sd_notify.html>).
//!
//! One datagram per message, to the socket that `NOTIFY_SOCKET` names. Without that variable
//! nothing is sent, and nothing else changes.
//!
//! The messages are those of the crate `sd-notify`; the socket and `WATCHDOG_USEC` are not (0.5).
//! Its `notify` opens a blocking socket for each message, so a full queue of the manager would stop
//! a thread of the runtime, the watchdog's with it; it takes a name that begins with `@` for a
//! path. Its `watchdog_enabled` takes 0 for a time, and ignores a `WATCHDOG_PID` that it cannot parse.
//! Both read the process' own variables, so a test could not set them.

use std::{
    io,
    os::unix::net::{SocketAddr, UnixDatagram as StdDatagram},
    sync::Arc,
    time::Duration,
};

use sd_notify::NotifyState;
use tokio::{
    net::UnixDatagram,
    time::{Interval, MissedTickBehavior, interval, timeout},
};
use tracing::warn;

/// How long a message that changes the service's state waits for room in the manager's queue: at
/// boot many services send at once. Then it is dropped, and logged.
const SEND_TIMEOUT: Duration = Duration::from_secs(1);

/// Time of a graceful shutdown in addition to the drain time.
const AFTER_DRAIN: Duration = Duration::from_secs(5);

/// Keep-alive messages in one watchdog time: one that finds the queue full is dropped, and the next
/// makes up for it.
const BEATS: u32 = 3;

/// The environment variables of the process.
type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Client of the service manager. Cheap to clone; the default sends nothing.
#[derive(Debug, Clone, Default)]
pub struct ServiceManager {
    socket: Option<Arc<UnixDatagram>>,
    /// Without a keep-alive message for this time the gateway is killed.
    watchdog: Option<Duration>,
}

/// Sends keep-alive messages as long as it is polled, so the task that has to be alive polls it.
#[derive(Debug)]
pub struct Watchdog {
    service_manager: ServiceManager,
    beats: Option<Interval>,
}

impl ServiceManager {
    /// The one that started this process, if there is one. Call it inside the runtime. A socket
    /// that cannot be connected to is logged, and the gateway serves without it.
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
                warn!(%name, reason = %error, "cannot connect to the service manager (NOTIFY_SOCKET)");
                Self::default()
            }
        }
    }

    /// The port is open and every part runs. It does not mean that the database is connected: the
    /// gateway waits for it, and so do its readers.
    pub async fn ready(&self) {
        self.send(&[NotifyState::Ready]).await;
    }

    /// The settings are read again, until the next `ready`. The time tells the manager which
    /// `ready` belongs to this reload.
    pub async fn reloading(&self) {
        match NotifyState::monotonic_usec_now() {
            Ok(now) => self.send(&[NotifyState::Reloading, now]).await,
            Err(error) => warn!(reason = %error, "the monotonic clock cannot be read"),
        }
    }

    /// The shutdown has begun, and the readers have `drain` to leave: the manager waits that
    /// long, whatever its own limit. The protocol's crate has 32 bits for it, 71 minutes; a drain time is
    /// at most one hour.
    pub async fn stopping(&self, drain: Duration) {
        let limit = u32::try_from((drain + AFTER_DRAIN).as_micros()).unwrap_or(u32::MAX);
        let limit = NotifyState::ExtendTimeoutUsec(limit);
        self.send(&[NotifyState::Stopping, limit]).await;
    }

    /// One line for people, as in `systemctl status`. Never waits: one that finds the queue full is
    /// dropped.
    pub fn status(&self, text: &str) {
        self.try_send(NotifyState::Status(text));
    }

    /// The first keep-alive message is due at once.
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

    async fn send(&self, states: &[NotifyState<'_>]) {
        let Some(socket) = &self.socket else { return };
        match timeout(SEND_TIMEOUT, socket.send(message(states).as_bytes())).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => {
                warn!(?states, reason = %error, "cannot notify the service manager");
            }
            Err(_) => warn!(
                ?states,
                "cannot notify the service manager: its queue is full"
            ),
        }
    }

    fn try_send(&self, state: NotifyState<'_>) {
        if let Some(socket) = &self.socket {
            let _ = socket.try_send(message(&[state]).as_bytes());
        }
    }
}

impl Watchdog {
    /// Waits for the next time, and sends; never returns if no watchdog is set. Cancel-safe.
    pub async fn beat(&mut self) {
        match &mut self.beats {
            Some(beats) => beats.tick().await,
            None => std::future::pending().await,
        };
        self.service_manager.try_send(NotifyState::Watchdog);
    }
}

/// One variable per line.
fn message(states: &[NotifyState<'_>]) -> String {
    let lines: Vec<_> = states.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

/// To a path, or with `@` to an abstract name, which Linux keeps outside the file system.
fn connect(name: &str) -> io::Result<UnixDatagram> {
    let address = match name.strip_prefix('@') {
        Some(name) => abstract_name(name)?,
        None => SocketAddr::from_pathname(name)?,
    };
    let socket = StdDatagram::unbound()?;
    socket.connect_addr(&address)?;
    socket.set_nonblocking(true)?;
    UnixDatagram::from_std(socket)
}

#[cfg(target_os = "linux")]
fn abstract_name(name: &str) -> io::Result<SocketAddr> {
    use std::os::linux::net::SocketAddrExt as _;
    SocketAddr::from_abstract_name(name)
}

#[cfg(not(target_os = "linux"))]
fn abstract_name(_: &str) -> io::Result<SocketAddr> {
    Err(io::ErrorKind::Unsupported.into())
}

/// `WATCHDOG_USEC`, unless `WATCHDOG_PID` is not this process. Anything but a number is
/// ignored, as is one too small to be divided.
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
    async fn a_socket_is_a_path_or_an_abstract_name() {
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("notify").display().to_string();
        let manager = UnixDatagram::bind(&path).unwrap();
        let named = format!("@{path}");
        let address = abstract_name(&path).unwrap();
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
    async fn without_a_socket_nothing_is_sent() {
        for name in ["", "/nowhere/notify", "vsock:2:1234"] {
            let service_manager = ServiceManager::of(&|_| Some(name.to_owned()));
            assert!(service_manager.socket.is_none(), "{name}");
            service_manager.ready().await;
            service_manager.status("live");
        }
    }
}
