//! The gateway, with its settings as they come.

use std::{net::SocketAddr, process::Stdio};

use tokio::process::Command;

use super::{Server, Start, StartResult, server};
use crate::{process::Family, publish::Feed, world::World};

pub async fn start(world: &World) -> StartResult {
    let program = &world.settings.pgfan;
    if !program.exists() {
        return Ok(Start::Missing(format!(
            "{} is not there",
            program.display()
        )));
    }
    let mut command = Command::new(program);
    command
        .args(["serve", "--listen", "127.0.0.1:0"])
        .envs(world.libpq_variables())
        .stderr(Stdio::piped());
    let mut family = Family::spawn(&mut command)?;
    let log = family.log()?;
    let address = server::said(log, address_in_log).await?;
    let feed = Feed::notify(world.database_url()).await?;
    Ok(Start::running(Server {
        address,
        feed,
        family,
    }))
}

/// `… INFO pgfan::cli::serve: serving address=127.0.0.1:43085`
fn address_in_log(line: &str) -> Option<SocketAddr> {
    let (_, address) = line.split_once("serving address=")?;
    address.parse().ok()
}
