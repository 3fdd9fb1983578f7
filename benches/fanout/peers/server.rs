//! A running server of any make.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    process::Stdio,
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, AsyncRead, BufReader, Lines},
    process::{Child, Command},
    time::timeout,
};

use crate::{process, publish::Feed};

/// No server needs longer to start; those in Python need a second.
const START_LIMIT: Duration = Duration::from_secs(20);

pub struct Server {
    /// Where its readers connect.
    pub address: SocketAddr,
    pub feed: Feed,
    pub child: Child,
}

impl Server {
    pub fn pid(&self) -> u32 {
        self.child.id().unwrap_or_default()
    }

    pub async fn stop(self) {
        drop(self.feed);
        process::end(self.child).await;
    }
}

/// Killed when it is dropped, which is only for a benchmark that fails: what
/// the child itself started would be left.
pub fn spawn(command: &mut Command) -> io::Result<Child> {
    command.stdin(Stdio::null()).kill_on_drop(true).spawn()
}

/// The first answer of `found` to a line; what follows is read and dropped, so
/// that the server never waits for its log.
pub async fn said<T>(
    output: impl AsyncRead + Unpin + Send + 'static,
    found: impl Fn(&str) -> Option<T>,
) -> io::Result<T> {
    let mut lines = BufReader::new(output).lines();
    let mut heard = String::new();
    let wait = timeout(START_LIMIT, first(&mut lines, found, &mut heard));
    let value = wait.await.ok().flatten();
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    value.ok_or_else(|| io::Error::other(format!("did not start: {heard}")))
}

async fn first<T>(
    lines: &mut Lines<BufReader<impl AsyncRead + Unpin>>,
    found: impl Fn(&str) -> Option<T>,
    heard: &mut String,
) -> Option<T> {
    while let Ok(Some(line)) = lines.next_line().await {
        if let Some(value) = found(&line) {
            return Some(value);
        }
        *heard += &line;
    }
    None
}

/// `port 43085`, as the scripts under `benches/peers` say it.
pub fn port(line: &str) -> Option<SocketAddr> {
    let port: u16 = line.strip_prefix("port ")?.parse().ok()?;
    Some((Ipv4Addr::LOCALHOST, port).into())
}
