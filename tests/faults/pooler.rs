//! F12: a PgBouncer in between.

use std::{
    fs,
    net::{Ipv4Addr, TcpListener},
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
    time::Duration,
};

use pgfan::sandbox::{Sandbox, USER};
use tempfile::TempDir;
use tokio::time::Instant;

use crate::{
    audience::{AT_ONCE, Audience, newcomers_are_turned_away},
    support::{
        Database, TestGateway,
        gateway_process::GatewayProcess,
        own_server,
        program::{Program, command},
    },
    tool,
};

/// Killed when it is dropped.
struct Pooler {
    url: String,
    _program: Program,
    _folder: TempDir,
}

impl Pooler {
    async fn in_front_of(server: &Sandbox, mode: &str) -> Self {
        loop {
            let folder = TempDir::new().unwrap();
            let port = free_port();
            write_settings(folder.path(), port, server, mode);
            let mut program = command(tool("sbin/pgbouncer"));
            program.env("LD_LIBRARY_PATH", tool("lib"));
            let mut program = Program::start(program.arg(folder.path().join("pgbouncer.ini")));
            let outcome = |said: &[u8]| {
                let said = String::from_utf8_lossy(said);
                let is_up = said.contains("process up");
                (is_up || said.contains("FATAL")).then(|| (is_up, said.into_owned()))
            };
            let (is_up, said) = program.stderr.until("start", outcome).await;
            if is_up {
                return Self {
                    url: format!("postgresql://{USER}@127.0.0.1:{port}/postgres"),
                    _program: program,
                    _folder: folder,
                };
            }
            // Somebody else was faster.
            assert!(said.contains("in use"), "{said}");
        }
    }
}

/// Below those that the kernel gives to outgoing connections.
fn free_port() -> u16 {
    let is_free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
    let ports = std::iter::repeat_with(|| fastrand::u16(20_000..32_000));
    ports.take(100).find(is_free).unwrap()
}

/// It refuses to run as root, and becomes whoever runs the server.
fn write_settings(folder: &Path, port: u16, server: &Sandbox, mode: &str) {
    let (folder_owner, server_owner) = (owner(folder), owner(&server.data_dir()));
    let user = match folder_owner == server_owner {
        true => String::new(),
        false => format!("user = {}", name(server_owner)),
    };
    let users = folder.join("users.txt");
    let settings = format!(
        "[databases]\n* = host=127.0.0.1 port={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
         listen_port = {port}\nunix_socket_dir =\nauth_type = trust\nauth_file = {}\n\
         pool_mode = {mode}\n{user}\n",
        server.port(),
        users.display()
    );
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(users, format!("\"{USER}\" \"\"\n")).unwrap();
    fs::write(folder.join("pgbouncer.ini"), settings).unwrap();
}

fn owner(path: &Path) -> u32 {
    fs::metadata(path).unwrap().uid()
}

/// `name:password:uid:…`
fn name(uid: u32) -> String {
    let users = fs::read_to_string("/etc/passwd").unwrap();
    let mut fields = users.lines().map(|line| line.split(':'));
    let mut user = fields.find(|fields| fields.clone().nth(2) == Some(&uid.to_string()));
    user.as_mut().and_then(Iterator::next).unwrap().to_owned()
}

/// It accepts LISTEN, and no notification ever arrives.
async fn is_named_and_nobody_is_served(mode: &str) {
    let server = own_server(&[]).await;
    let pooler = Pooler::in_front_of(&server, mode).await;
    let variables = [
        ("PGFAN_DATABASE_URL", pooler.url.as_str()),
        ("PGFAN_SUBSCRIBE_TIMEOUT", "300ms"),
    ];
    let begun = Instant::now();
    let mut gateway = GatewayProcess::with_variables(&variables).await;
    for round in 0..2 {
        gateway
            .logged("pooler in transaction or statement mode")
            .await;
        let took = begun.elapsed();
        assert!(round > 0 || took < Duration::from_secs(10), "{took:?}");
        newcomers_are_turned_away(gateway.address).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn f12_a_pooler_in_transaction_mode_is_named() {
    is_named_and_nobody_is_served("transaction").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn f12_a_pooler_in_statement_mode_is_named() {
    is_named_and_nobody_is_served("statement").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn f12_a_pooler_in_session_mode_is_as_good_as_none() {
    let server = own_server(&[]).await;
    let pooler = Pooler::in_front_of(&server, "session").await;
    let gateway = TestGateway::starting(&pooler.url, &[]);
    gateway.ready().await;
    let mut audience = Audience::of(gateway.address).await;
    let database = Database::at(server.url()).await;
    for n in 0..20 {
        database.notify("a", &n.to_string()).await;
        audience.hear(&n.to_string()).await;
    }
    let lost = Instant::now();
    assert!(database.terminate().await >= 1);
    audience.are_interrupted(lost, AT_ONCE).await;
    audience.are_live_again().await;
    database.notify("a", "again").await;
    audience.hear("again").await;
}
