//! The gateway, with its default settings.

use std::{fs, net::SocketAddr, process::Stdio, sync::Arc};

use rcgen::{CertificateParams, KeyPair};
use rustls::{ClientConfig, RootCertStore, crypto::ring};
use tokio::process::Command;

use super::{Server, Start, StartResult, server};
use crate::{process::Family, publish::Feed, world::World};

/// Host name in its certificate.
pub const TLS_HOST: &str = "pgfan.bench";

pub async fn start(world: &World) -> StartResult {
    serve(world, &[], None).await
}

/// With TLS and a P-256 certificate.
pub async fn start_tls(world: &World) -> StartResult {
    let folder = &world.settings.folder;
    let [certificate, key] = ["tls.crt", "tls.key"].map(|name| folder.join(name));
    fs::create_dir_all(folder)?;
    let pair = KeyPair::generate()?;
    let issued = CertificateParams::new([TLS_HOST.to_owned()])?.self_signed(&pair)?;
    fs::write(&certificate, issued.pem())?;
    fs::write(&key, pair.serialize_pem())?;
    let mut roots = RootCertStore::empty();
    roots.add(issued.der().clone())?;
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let config = config.with_safe_default_protocol_versions()?;
    let config = config.with_root_certificates(roots).with_no_client_auth();
    let [certificate, key] = [certificate, key].map(|path| path.display().to_string());
    let flags = ["--tls-cert", &certificate, "--tls-key", &key];
    serve(world, &flags, Some(Arc::new(config))).await
}

async fn serve(world: &World, flags: &[&str], tls: Option<Arc<ClientConfig>>) -> StartResult {
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
        // All readers have one address, whose default limit is half of the open files.
        .args(["--max-readers-per-address", "100000"])
        .args(["--max-channels-per-client", "10000"])
        .args(flags)
        .envs(world.libpq_variables())
        .stderr(Stdio::piped());
    let mut family = Family::spawn(&mut command)?;
    let log = family.log()?;
    let address = server::said(log, address_in_log).await?;
    let feed = Feed::notify(world.database_url()).await?;
    Ok(Start::running(Server {
        address,
        tls,
        feed,
        family,
    }))
}

/// `… INFO pgfan::cli::serve: serving address=127.0.0.1:43085 database=…`
fn address_in_log(line: &str) -> Option<SocketAddr> {
    let (_, rest) = line.split_once("serving address=")?;
    rest.split(' ').next()?.parse().ok()
}
