//! A proxy, and a client's way through it.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
};

use http::Response;
use hyper::body::{Bytes, Incoming};
use rustix::process::{Pid, Signal, kill_process_group};
use tempfile::TempDir;
use tokio::{
    net::{TcpSocket, TcpStream},
    process::Command,
};
use tokio_rustls::client::TlsStream;

use crate::support::{
    Reader, Wire,
    certificates::write,
    pooler::free_port,
    program::{Program, command},
    request_over,
    tls::{Certificates, TlsClient},
    until,
};

const NGINX: &str = include_str!("../../packaging/proxies/nginx.conf");
const HAPROXY: &str = include_str!("../../packaging/proxies/haproxy.cfg");
const CADDY: &str = include_str!("../../packaging/proxies/Caddyfile");

/// The example's address of pgfan.
const UPSTREAM: &str = "127.0.0.1:8000";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Nginx,
    HaProxy,
    Caddy,
}

impl Kind {
    pub const ALL: [Self; 3] = [Self::Nginx, Self::HaProxy, Self::Caddy];
}

/// Killed when it is dropped, with its workers: nginx's workers continue to serve if
/// only the master is killed.
pub struct Proxy {
    pub address: SocketAddr,
    pub program: Program,
    client: TlsClient,
    _files: (TempDir, Certificates),
}

impl Proxy {
    /// Starts it in front of the gateway at `gateway`.
    pub async fn start(kind: Kind, gateway: SocketAddr) -> Self {
        Self::with(kind, gateway, "60s").await
    }

    /// Starts it with another timeout than the example's 60 s.
    pub async fn with(kind: Kind, gateway: SocketAddr, patience: &str) -> Self {
        let (folder, certificates) = (TempDir::new().unwrap(), Certificates::new());
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        let example = match kind {
            Kind::Nginx => NGINX,
            Kind::HaProxy => HAPROXY,
            Kind::Caddy => CADDY,
        };
        let example = replaced(example, UPSTREAM, &gateway.to_string());
        let example = match kind {
            Kind::Caddy => example,
            _ => replaced(&example, " 60s", &format!(" {patience}")),
        };
        let mut command = match kind {
            Kind::Nginx => nginx(&example, address, folder.path(), &certificates),
            Kind::HaProxy => haproxy(&example, address, folder.path(), &certificates),
            Kind::Caddy => caddy(&example, address, folder.path(), &certificates),
        };
        command.env("LD_LIBRARY_PATH", made("lib")).process_group(0);
        let program = Program::start(&mut command);
        until(&format!("{kind:?} is open"), || async {
            TcpStream::connect(address).await.is_ok()
        })
        .await;
        Self {
            address,
            program,
            client: certificates.client(),
            _files: (folder, certificates),
        }
    }

    /// Connects with HTTP/1.1 or, for `h2`, HTTP/2.
    pub async fn connect(&self, protocol: &str) -> TlsStream<TcpStream> {
        self.connect_from(Ipv4Addr::LOCALHOST, protocol).await
    }

    /// Connects from another address of the loopback.
    pub async fn connect_from(&self, from: Ipv4Addr, protocol: &str) -> TlsStream<TcpStream> {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::from((from, 0))).unwrap();
        let socket = socket.connect(self.address).await.unwrap();
        self.client.over(socket, protocol).await.unwrap()
    }

    pub async fn reader(&self, wire: Wire, cursor: Option<&str>) -> Reader {
        let protocol = match wire {
            Wire::Grpc => "h2",
            _ => "http/1.1",
        };
        let connection = self.connect(protocol).await;
        Reader::over(connection, wire, &["a"], cursor).await
    }

    /// Sends a request over HTTP/1.1, and waits only for the head.
    pub async fn request(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Response<Incoming> {
        let connection = self.connect("http/1.1").await;
        let answered = request_over(connection, method, path, headers, body.into()).await;
        answered.expect("an answer")
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let group = self.program.pid().try_into().ok().and_then(Pid::from_raw);
        // It may have ended by itself.
        let _ = kill_process_group(group.unwrap(), Signal::KILL);
    }
}

/// Path of what `tests/proxies/setup` made.
fn made(path: &str) -> PathBuf {
    let made = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/proxies");
    let made = made.join(path);
    assert!(
        made.exists(),
        "{} is not there: run `make test`",
        made.display()
    );
    made
}

/// Replaces a text that must be present.
fn replaced(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "no {from:?} in the example");
    text.replace(from, to)
}

/// The example inside the relevant parts of the main file of Debian's package.
fn nginx(example: &str, address: SocketAddr, folder: &Path, files: &Certificates) -> Command {
    let example = replaced(example, "listen 443 ", &format!("listen {address} "));
    let certificates = "/etc/ssl/events.example.com";
    let example = replaced(
        &example,
        &format!("{certificates}/cert.pem"),
        &files.path("cert"),
    );
    let example = replaced(
        &example,
        &format!("{certificates}/key.pem"),
        &files.path("key"),
    );
    let folder = folder.display();
    let paths: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|name| format!("{name}_temp_path {folder}/{name};\n"))
        .concat();
    let main = format!(
        "daemon off;\nworker_processes 1;\npid {folder}/nginx.pid;\nerror_log stderr notice;\n\
         events {{ }}\nhttp {{\naccess_log off;\n{paths}{example}\n}}\n"
    );
    let path = write(Path::new(&folder.to_string()), "nginx.conf", &main, 0o644);
    let mut command = command(made("root/usr/sbin/nginx"));
    command.args(["-e", "stderr", "-p"]).arg(folder.to_string());
    command.arg("-c").arg(path);
    command
}

fn haproxy(example: &str, address: SocketAddr, folder: &Path, files: &Certificates) -> Command {
    let both = ["cert", "key"].map(|name| fs::read_to_string(files.path(name)).unwrap());
    let pem = write(folder, "both.pem", &both.concat(), 0o600);
    let example = replaced(example, "bind :443 ", &format!("bind {address} "));
    // More would need more open files than a machine may allow for a test.
    let example = replaced(&example, "maxconn 100000", "maxconn 100");
    let certificate = "/etc/haproxy/events.example.com.pem";
    let example = replaced(&example, certificate, &pem.display().to_string());
    let path = write(folder, "haproxy.cfg", &example, 0o644);
    let mut command = command(made("root/usr/sbin/haproxy"));
    command.args(["-db", "-f"]).arg(path);
    command
}

/// It would request a certificate from a public authority, and store it.
fn caddy(example: &str, address: SocketAddr, folder: &Path, files: &Certificates) -> Command {
    let site = format!(
        "{{\nadmin off\nauto_https disable_redirects\n}}\n:{} {{\nbind {}\ntls {} {}\n",
        address.port(),
        address.ip(),
        files.path("cert"),
        files.path("key")
    );
    let example = replaced(example, "events.example.com {\n", &site);
    let path = write(folder, "Caddyfile", &example, 0o644);
    let mut command = command(made("root/usr/bin/caddy"));
    command
        .args(["run", "--adapter", "caddyfile", "--config"])
        .arg(path);
    command.env("HOME", folder);
    command
}
