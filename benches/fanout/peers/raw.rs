//! This program, started again as the limit.

use std::{net::SocketAddr, process::Stdio};

use tokio::process::Command;

use super::{Server, Start, StartResult, server};
use crate::{process::Family, publish::Feed, raw::Mode};

pub async fn start(mode: Mode) -> StartResult {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(mode.arguments()).stdout(Stdio::piped());
    let mut family = Family::spawn(&mut command)?;
    let output = family.output()?;
    let (address, feed) = server::said(output, two_addresses).await?;
    let feed = Feed::lines(feed).await?;
    Ok(Start::running(Server {
        tls: None,
        address,
        feed,
        family,
    }))
}

fn two_addresses(line: &str) -> Option<(SocketAddr, SocketAddr)> {
    let (readers, feed) = line.split_once(' ')?;
    Some((readers.parse().ok()?, feed.parse().ok()?))
}
