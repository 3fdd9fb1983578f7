//! Bun's native publish (uWebSockets inside), fed by HTTP.

use std::process::Stdio;

use tokio::process::Command;

use super::{Server, Start, StartResult, script, server};
use crate::{process::Family, publish::Feed, world::World};

pub async fn start(world: &World) -> StartResult {
    let bun = world.settings.folder.join("node/bun");
    if !bun.exists() {
        return Ok(Start::Missing("bun is not installed".to_owned()));
    }
    let mut command = Command::new(bun);
    command.arg(script("bun.mjs")).stdout(Stdio::piped());
    let mut family = Family::spawn(&mut command)?;
    let output = family.output()?;
    let address = server::said(output, server::port).await?;
    Ok(Start::running(Server {
        tls: None,
        address,
        feed: Feed::http(address, "/").await?,
        family,
    }))
}
