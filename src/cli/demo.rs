//! `pgfan demo`: a private PostgreSQL, a table whose trigger notifies, a
//! writer that changes a row every second, and the gateway. Ctrl-C ends all
//! of it and leaves nothing behind.

mod shop;

use std::{
    collections::HashMap,
    io::{self, Write as _},
    net::SocketAddr,
    path::Path,
    sync::Arc,
};

use tokio::{select, time::Duration};
use tracing::info;

use super::CommandResult;
use crate::{
    app::{AppError, Gateway},
    config::{Config, Mistakes, environment},
    shutdown::Shutdown,
    source::conninfo::ConnInfo,
    temp_postgres::{Binaries, Options, Sandbox, Search},
};
use shop::Shop;

/// Folder in which `tests/postgres/setup` puts a server if it may not install one.
const PRIVATE: &str = "target/postgres";

/// Settings that the demo has: its address, allowed origins and host names. A page under
/// development is served from another port.
pub(super) const SETTINGS: [&str; 3] = ["listen", "allow-origin", "allow-host"];

/// Timeout for the shutdown; the demo's readers need no long drain.
const DRAIN: Duration = Duration::from_secs(2);

pub(super) async fn run(flags: &HashMap<String, String>) -> CommandResult {
    let shutdown = Shutdown::default();
    shutdown.on_signals()?;
    shutdown.on_hangup()?;
    // Bound first: a port in use is reported before anything is started.
    let bound = Gateway::bind(settings(flags)?);
    let mut gateway = bound.map_err(|error| explained(&error))?;
    let address = gateway.local_addr()?;
    let started = select! {
        sandbox = sandbox() => sandbox?,
        () = shutdown.begun.cancelled() => return Ok(()),
    };
    let database = conninfo(&started)?;
    gateway.connect_to(Arc::clone(&database));
    let shop = Shop::open(&database).await?;
    let writing = tokio::spawn(shop.keep_busy());
    // A closed standard output is not an error.
    let _ = writeln!(io::stdout(), "{}", instructions(address, &started));
    let result = gateway.run(shutdown).await;
    writing.abort();
    info!("removing the private PostgreSQL");
    drop(started);
    Ok(result?)
}

/// Adds the full command that would work: a user of `make run` typed another one.
fn explained(error: &AppError) -> String {
    let Some((setting, mut address)) = error.taken() else {
        return error.to_string();
    };
    address.set_port(address.port().checked_add(1).unwrap_or(8000));
    let program = program();
    format!(
        "{error}\nend the other program, or give another address: {program} demo --{setting} {address}"
    )
}

/// Ignores the libpq variables, which are for real databases. Publishing needs no token, since only
/// this machine can connect.
fn settings(flags: &HashMap<String, String>) -> Result<Config, Mistakes> {
    let ours = |name: &str| match name {
        "PGFAN_LISTEN" | "PGFAN_ALLOW_ORIGIN" | "PGFAN_ALLOW_HOST" => environment(name),
        // The demo takes no token; the check below has an error text of its own.
        "PGFAN_ANONYMOUS" => Some("on".to_owned()),
        _ => None,
    };
    let mut config = Config::resolve(flags, &ours, None)?;
    if !config.listen.ip().is_loopback() {
        let rule = "everybody may publish on the demo, so it serves on the loopback alone";
        return Err(format!("{}: {rule}", config.listen).into());
    }
    config.auth.allow_publish = true;
    config.drain_timeout = DRAIN;
    Ok(config)
}

/// Closed to the network and to other users: every client is its superuser.
async fn sandbox() -> Result<Sandbox, Box<dyn std::error::Error>> {
    let (pg_bin, path) = (environment("PG_BIN"), environment("PATH"));
    let binaries = Binaries::find(Search {
        pg_bin: pg_bin.as_deref().map(Path::new),
        path: path.as_deref().map(AsRef::as_ref),
        private: Some(Path::new(PRIVATE)),
    })?;
    info!(programs = %binaries.folder().display(), "starting a private PostgreSQL");
    let options = Options::new(binaries).with("listen_addresses", "");
    Ok(Sandbox::start(options).await?)
}

fn conninfo(sandbox: &Sandbox) -> Result<Arc<ConnInfo>, Box<dyn std::error::Error>> {
    let resolved = ConnInfo::resolve(Some(&sandbox.socket_url()), &|_| None);
    match resolved {
        Ok(conninfo) => Ok(Arc::new(conninfo)),
        Err(mistakes) => {
            let texts: Vec<_> = mistakes.iter().map(ToString::to_string).collect();
            Err(texts.join("\n").into())
        }
    }
}

fn instructions(address: SocketAddr, sandbox: &Sandbox) -> String {
    let channel = shop::CHANNEL;
    let program = program();
    format!(
        "
pgfan is serving on http://{address}, and a row of the table `{channel}` changes every second.
Look at it in a browser: http://{address}/?channel={channel}

Watch it from another terminal, each line a wire:

  curl -N 'http://{address}/v1/sse?channel={channel}&format=raw'
  curl -N 'http://{address}/v1/sse?channel={channel}'
  {program} listen {channel} --via ws --url http://{address}
  {program} listen {channel} --via grpc --url http://{address}

Or, where these are installed:

  websocat 'ws://{address}/v1/ws?channel={channel}'
  websocat 'ws://{address}/pgpubsub/{channel}'
  grpcurl -plaintext -d '{{\"channels\":[\"{channel}\"]}}' {address} pgfan.v1.GatewayService/Subscribe

Notify it yourself, through the gateway or in SQL:

  curl -d 'hello' 'http://{address}/v1/channels/{channel}'
  psql \"{}\" -c \"SELECT pg_notify('{channel}', 'hello')\"

Ctrl-C ends it, and leaves nothing behind.
",
        sandbox.socket_url()
    )
}

/// The program as it was called, quoted for a shell: `target/debug/pgfan` until it is installed.
fn program() -> String {
    let called = std::env::args_os().next();
    let name = called.map_or("pgfan".into(), |name| name.to_string_lossy().into_owned());
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    match name.chars().all(plain) {
        true => name,
        false => format!("'{}'", name.replace('\'', r"'\''")),
    }
}
