//! A PgBouncer in front of a server.

use std::{
    fs,
    net::{Ipv4Addr, TcpListener},
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
};

use pgfan::temp_postgres::{Sandbox, USER};
use tempfile::TempDir;

use super::{
    program::{Program, command},
    tool,
};

/// Killed when it is dropped.
pub struct Pooler {
    pub url: String,
    _program: Program,
    _folder: TempDir,
}

impl Pooler {
    /// `mode`: session, transaction or statement.
    pub async fn in_front_of(server: &Sandbox, mode: &str) -> Self {
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
            // Another process has taken the port.
            assert!(said.contains("in use"), "{said}");
        }
    }
}

/// A port below those that the kernel gives to outgoing connections.
pub fn free_port() -> u16 {
    let is_free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
    let ports = std::iter::repeat_with(|| fastrand::u16(20_000..32_000));
    ports.take(100).find(is_free).unwrap()
}

/// PgBouncer refuses to run as root, and switches to the user that runs the
/// server.
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
