//! nginx with nchan, fed by HTTP.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use tokio::{net::TcpStream, process::Command, time::sleep};

use super::{Server, Start, StartResult};
use crate::{process::Family, publish::Feed, world::World};

const CONFIGURATION: &str = include_str!("../../peers/nginx.conf");

/// Limit of the connection attempts at a start; each after a pause.
const LOOKS: usize = 200;
const PAUSE: Duration = Duration::from_millis(25);

pub async fn start(world: &World) -> StartResult {
    let installed = world.settings.folder.join("nginx");
    let installed = [installed, PathBuf::from("/")];
    let has_both = |root: &PathBuf| program(root).exists() && module(root).exists();
    let Some(root) = installed.into_iter().find(has_both) else {
        return Ok(Start::Missing(
            "nginx with nchan is not installed".to_owned(),
        ));
    };
    let address = free_address()?;
    let folder = world.settings.folder.join("nginx-run");
    fs::create_dir_all(&folder)?;
    let file = folder.join("nginx.conf");
    let files = world.settings.most_connections + 100;
    fs::write(&file, configuration(&root, &folder, address.port(), files))?;
    let mut command = Command::new(program(&root));
    // The libraries that the machine lacks.
    command.env("LD_LIBRARY_PATH", world.settings.folder.join("nginx.lib"));
    command.arg("-e").arg(folder.join("error.log"));
    command.arg("-p").arg(&folder).arg("-c").arg(&file);
    let family = Family::spawn(command.stdout(Stdio::null()).stderr(Stdio::null()))?;
    is_open(address).await?;
    Ok(Start::running(Server {
        tls: None,
        address,
        feed: Feed::http(address, "/publish").await?,
        family,
    }))
}

fn program(root: &Path) -> PathBuf {
    root.join("usr/sbin/nginx")
}

fn modules(root: &Path) -> PathBuf {
    root.join("usr/lib/nginx/modules")
}

fn module(root: &Path) -> PathBuf {
    modules(root).join("ngx_nchan_module.so")
}

fn configuration(root: &Path, folder: &Path, port: u16, files: usize) -> String {
    CONFIGURATION
        .replace("MODULES", &modules(root).display().to_string())
        .replace("FOLDER", &folder.display().to_string())
        .replace("PORT", &port.to_string())
        .replace("FILES", &files.to_string())
}

/// A port that was free a moment ago: nginx does not report the port it uses.
fn free_address() -> std::io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

async fn is_open(address: SocketAddr) -> Result<(), String> {
    for _ in 0..LOOKS {
        if TcpStream::connect(address).await.is_ok() {
            return Ok(());
        }
        sleep(PAUSE).await;
    }
    Err("nginx did not start: see target/bench/nginx-run/error.log".to_owned())
}
