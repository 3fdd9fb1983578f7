//! Bun's native publish (uWebSockets inside), fed by HTTP.

use std::process::Stdio;

use tokio::process::Command;

use super::{Server, Start, StartResult, script, server};
use crate::{publish::Feed, world::World};

pub async fn start(world: &World) -> StartResult {
    let bun = world.settings.folder.join("node/bun");
    if !bun.exists() {
        return Ok(Start::Missing("bun is not installed".to_owned()));
    }
    let mut command = Command::new(bun);
    command.arg(script("bun.mjs")).stdout(Stdio::piped());
    let mut child = server::spawn(&mut command)?;
    let output = child.stdout.take().ok_or("no output")?;
    let address = server::said(output, server::port).await?;
    Ok(Start::running(Server {
        address,
        feed: Feed::http(address, "/").await?,
        child,
    }))
}
