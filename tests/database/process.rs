//! `pgfan serve` as a process, with its own environment and its log.

use std::{net::SocketAddr, process::Stdio};

use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStderr, Command},
};

use crate::support::{get, until, within};

/// Killed when it is dropped.
pub struct Process {
    pub address: SocketAddr,
    log: Lines<BufReader<ChildStderr>>,
    _child: Child,
}

impl Process {
    /// With these variables, and no others but where to listen.
    pub async fn serve(variables: &[(&str, &str)]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pgfan"));
        command.arg("serve").env_clear();
        command.env("PGFAN_LISTEN", "127.0.0.1:0");
        command.envs(variables.iter().copied());
        let mut child = command
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let log = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut process = Self {
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            log,
            _child: child,
        };
        let line = process.logged("serving").await;
        let (_, address) = line.split_once("address=").unwrap();
        process.address = address.trim().parse().unwrap();
        process
    }

    /// The next line of its log with `text` in it.
    pub async fn logged(&mut self, text: &str) -> String {
        within(text, async {
            while let Some(line) = self.log.next_line().await.unwrap() {
                if line.contains(text) {
                    return line;
                }
            }
            panic!("it ended without logging {text:?}");
        })
        .await
    }

    pub async fn is_ready(&self) -> bool {
        get(self.address, "/readyz", &[]).await.status == 200
    }

    pub async fn live(&mut self) {
        self.logged("the source is live").await;
        until("/readyz is 200", || self.is_ready()).await;
    }
}
