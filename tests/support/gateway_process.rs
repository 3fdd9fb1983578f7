//! `pgfan serve`, the real program in its own process.

use std::net::SocketAddr;

use tokio::process::Command;

use super::{
    Database, get,
    program::{Ended, Program, command},
    until,
};

/// Running `pgfan serve`; killed when it is dropped, `stop` ends it gracefully.
pub struct GatewayProcess {
    pub address: SocketAddr,
    pub program: Program,
}

/// Command for the program itself.
pub fn pgfan() -> Command {
    command(env!("CARGO_BIN_EXE_pgfan"))
}

/// Environment variables of libpq for a server that asks for no password:
/// `postgresql://USER@HOST:PORT/DATABASE`.
pub fn libpq_variables(url: &str) -> [(&'static str, &str); 4] {
    let rest = url.strip_prefix("postgresql://").unwrap();
    let (user, rest) = rest.split_once('@').unwrap();
    let (address, database) = rest.split_once('/').unwrap();
    let (host, port) = address.split_once(':').unwrap();
    [
        ("PGHOST", host),
        ("PGPORT", port),
        ("PGUSER", user),
        ("PGDATABASE", database),
    ]
}

/// Upgrade request of a WebSocket, for a client that writes its own bytes; the
/// key is the example of RFC 6455, section 1.3.
pub fn upgrade(path: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
}

impl GatewayProcess {
    /// Starts a gateway that takes its database from the libpq variables alone,
    /// and waits until it is live; clients may publish.
    pub async fn on(database: &Database) -> Self {
        let mut command = pgfan();
        command.envs(libpq_variables(&database.url));
        let gateway = Self::serve(command.args(["serve", "--allow-publish"])).await;
        gateway.ready().await;
        gateway
    }

    /// Returns when its port is open: a free port that the gateway itself
    /// chose, so no other process can take it in between.
    pub async fn serve(command: &mut Command) -> Self {
        let mut program = Program::start(command.args(["--listen", "127.0.0.1:0"]));
        let address = program.stderr.until("address", address_in_log).await;
        Self { address, program }
    }

    /// Starts it with these variables and the listen address only.
    pub async fn with_variables(variables: &[(&str, &str)]) -> Self {
        let mut command = pgfan();
        command.arg("serve").envs(variables.iter().copied());
        Self::serve(&mut command).await
    }

    pub async fn is_ready(&self) -> bool {
        get(self.address, "/readyz", &[]).await.status == 200
    }

    pub async fn ready(&self) {
        until("/readyz is 200", || self.is_ready()).await;
    }

    /// Its next log line that contains `text`.
    pub async fn logged(&mut self, text: &str) -> String {
        self.program.stderr.line(text).await
    }

    /// `VmRSS` (proc(5)), in bytes.
    pub fn resident(&self) -> usize {
        let status = format!("/proc/{}/status", self.program.pid());
        let status = std::fs::read_to_string(status).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:"));
        let kilobytes = line.unwrap().split_whitespace().nth(1).unwrap();
        kilobytes.parse::<usize>().unwrap() << 10
    }

    /// Number of its open file descriptors.
    pub fn open_files(&self) -> usize {
        let files = format!("/proc/{}/fd", self.program.pid());
        std::fs::read_dir(files).unwrap().count()
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Ends it by SIGTERM, and expects exit status 0.
    pub async fn stop(self) -> Ended {
        self.program.signal("TERM").await;
        let ended = self.program.ended().await;
        assert_eq!(ended.status.code(), Some(0), "{}", ended.stderr);
        ended
    }
}

/// `… INFO pgfan::cli::serve: serving address=127.0.0.1:43085 database=…`
fn address_in_log(log: &[u8]) -> Option<SocketAddr> {
    let log = String::from_utf8_lossy(log);
    let (_, rest) = log.split_once("serving address=")?;
    let (line, _) = rest.split_once('\n')?;
    line.split(' ').next()?.parse().ok()
}
