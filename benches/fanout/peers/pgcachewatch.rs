//! PGCacheWatch's distributor, started as in its documentation, on uvloop.

use std::{net::SocketAddr, process::Stdio};

use tokio::process::Command;

use super::{Server, Start, StartResult, server};
use crate::{process::Family, publish::Feed, world::World};

pub async fn start(world: &World) -> StartResult {
    let python = world.settings.folder.join("venv/bin/python");
    if !python.exists() {
        return Ok(Start::Missing("PGCacheWatch is not installed".to_owned()));
    }
    let mut command = Command::new(python);
    command
        .args(["-m", "uvicorn", "--factory", "--host", "127.0.0.1"])
        .args(["--port", "0", "--loop", "uvloop"])
        .arg("pgcachewatch.pg_event_distributor:main")
        .envs(world.libpq_variables())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let mut family = Family::spawn(&mut command)?;
    let log = family.log()?;
    let address = server::said(log, address_in_log).await?;
    Ok(Start::running(Server {
        tls: None,
        address,
        feed: Feed::notify(world.database_url()).await?,
        family,
    }))
}

/// `INFO:     Uvicorn running on http://127.0.0.1:35677 (Press CTRL+C to quit)`
fn address_in_log(line: &str) -> Option<SocketAddr> {
    let (_, rest) = line.split_once("running on http://")?;
    rest.split(' ').next()?.parse().ok()
}
