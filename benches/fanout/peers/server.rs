//! A running server, ours or another.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use rustls::ClientConfig;
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, BufReader, Lines},
    time::timeout,
};

use crate::{process::Family, publish::Feed};

/// More than any server needs; those in Python need a second.
const START_LIMIT: Duration = Duration::from_secs(20);

pub struct Server {
    /// Address for its readers.
    pub address: SocketAddr,
    /// TLS settings of its readers, if it uses TLS.
    pub tls: Option<Arc<ClientConfig>>,
    pub feed: Feed,
    pub family: Family,
}

impl Server {
    pub fn pid(&self) -> u32 {
        self.family.root()
    }

    pub async fn stop(self) {
        drop(self.feed);
        self.family.end().await;
    }
}

/// The first line for which `found` returns a value; the rest is read and
/// dropped, so that the server never waits for its log.
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

/// Parses `port 43085`, as printed by the scripts under `benches/peers`.
pub fn port(line: &str) -> Option<SocketAddr> {
    let port: u16 = line.strip_prefix("port ")?.parse().ok()?;
    Some((Ipv4Addr::LOCALHOST, port).into())
}
