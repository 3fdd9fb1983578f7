//! Messages for systemd: a socket of its kind, and the real program.

use std::time::Duration;

use tempfile::TempDir;
use tokio::{net::UnixDatagram, time::Instant};

use crate::support::{
    Database, Reader, Wire,
    gateway_process::{GatewayProcess, pgfan},
    get, until, within,
};

/// A service manager that listens at `NOTIFY_SOCKET`.
struct Manager {
    socket: UnixDatagram,
    folder: TempDir,
}

impl Manager {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let socket = UnixDatagram::bind(folder.path().join("notify")).unwrap();
        Self { socket, folder }
    }

    async fn start(&self, url: &str, variables: &[(&str, &str)]) -> GatewayProcess {
        let mut command = pgfan();
        command
            .args(["serve", "--drain-timeout", "2s"])
            .env("NOTIFY_SOCKET", self.folder.path().join("notify"))
            .env("PGFAN_DATABASE_URL", url)
            .envs(variables.iter().copied());
        GatewayProcess::serve(&mut command).await
    }

    async fn hears(&self) -> String {
        let mut said = [0; 512];
        let length = within("a word to the manager", self.socket.recv(&mut said));
        let length = length.await.unwrap();
        String::from_utf8(said[..length].to_vec()).unwrap()
    }

    /// The next message that is not a watchdog message.
    async fn is_told(&self) -> String {
        loop {
            let said = self.hears().await;
            if said != "WATCHDOG=1" {
                return said;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_told_of_the_beginning_the_source_and_the_end() {
    let database = Database::new().await;
    let manager = Manager::new();
    let gateway = manager.start(&database.url, &[]).await;
    assert_eq!(manager.is_told().await, "READY=1");
    assert_eq!(manager.is_told().await, "STATUS=the source is live");
    assert!(database.terminate().await >= 1);
    assert_eq!(manager.is_told().await, "STATUS=the source is interrupted");
    assert_eq!(manager.is_told().await, "STATUS=the source is live");
    gateway.stop().await;
    let stopping = "STOPPING=1\nEXTEND_TIMEOUT_USEC=7000000";
    assert_eq!(manager.is_told().await, stopping);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_told_of_a_reload_that_sends_nobody_away() {
    let database = Database::new().await;
    let manager = Manager::new();
    let gateway = manager.start(&database.url, &[]).await;
    gateway.ready().await;
    let mut reader = Reader::open(Wire::Sse, gateway.address, &["a"], None).await;
    reader.ready().await;
    while manager.is_told().await != "STATUS=the source is live" {}
    gateway.program.signal("HUP").await;
    let told = manager.is_told().await;
    let since = told.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap();
    assert!(since.parse::<u64>().unwrap() > 0, "{told}");
    assert_eq!(manager.is_told().await, "READY=1");
    database.notify("a", "still there").await;
    assert_eq!(reader.event().await.1, "still there");
    gateway.stop().await;
}

/// A service that waited for its database would time out and be restarted as
/// long as the database is away.
#[tokio::test(flavor = "multi_thread")]
async fn ready_is_the_open_port_and_not_the_database() {
    let manager = Manager::new();
    let nowhere = "postgresql://nobody@127.0.0.1:1/none";
    let gateway = manager.start(nowhere, &[]).await;
    assert_eq!(manager.is_told().await, "READY=1");
    assert_eq!(get(gateway.address, "/healthz", &[]).await.status, 200);
    assert_eq!(get(gateway.address, "/readyz", &[]).await.status, 503);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_watchdog_beats_also_while_the_database_is_away() {
    let manager = Manager::new();
    let nowhere = "postgresql://nobody@127.0.0.1:1/none";
    let limit = Duration::from_millis(300);
    let microseconds = limit.as_micros().to_string();
    let variables = [("WATCHDOG_USEC", microseconds.as_str())];
    let gateway = manager.start(nowhere, &variables).await;
    let beat = async || while manager.hears().await != "WATCHDOG=1" {};
    beat().await;
    let first = Instant::now();
    for _ in 0..6 {
        beat().await;
    }
    // Six watchdog messages are two watchdog times, however busy the machine:
    // they are sent at least a third of it apart.
    assert!(first.elapsed() >= limit, "{:?}", first.elapsed());
    // A suspended process sends none.
    gateway.program.signal("STOP").await;
    let status = format!("/proc/{}/status", gateway.program.pid());
    until("it stands still", || async {
        std::fs::read_to_string(&status)
            .unwrap()
            .contains("State:\tT")
    })
    .await;
    while manager.socket.try_recv(&mut [0; 512]).is_ok() {}
    let silence = tokio::time::timeout(2 * limit, manager.hears()).await;
    assert!(silence.is_err(), "{silence:?}");
    gateway.program.signal("CONT").await;
    beat().await;
    gateway.stop().await;
}
