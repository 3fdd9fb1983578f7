//! Node's `ws` with `pg`.

use std::process::Stdio;

use tokio::process::Command;

use super::{Server, Start, StartResult, script, server};
use crate::{process::Family, publish::Feed, world::World};

pub async fn start(world: &World) -> StartResult {
    let folder = world.settings.folder.join("node");
    if !folder.join("node_modules/ws").exists() {
        return Ok(Start::Missing("ws and pg are not installed".to_owned()));
    }
    let mut command = Command::new("node");
    command
        .arg(script("node.mjs"))
        .arg(folder)
        .envs(world.libpq_variables())
        .stdout(Stdio::piped());
    let mut family = Family::spawn(&mut command)?;
    let output = family.output()?;
    let address = server::said(output, server::port).await?;
    Ok(Start::running(Server {
        tls: None,
        address,
        feed: Feed::notify(world.database_url()).await?,
        family,
    }))
}
