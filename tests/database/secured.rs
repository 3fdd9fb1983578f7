//! A server with TLS, and its clients' files.

use std::{
    fs,
    future::poll_fn,
    os::unix::fs::{MetadataExt, chown},
};

use pgfan::{
    source::conninfo::ConnInfo,
    temp_postgres::{Mode, Sandbox},
};
use tempfile::TempDir;
use tokio_postgres::SimpleQueryMessage;

use crate::support::{
    Database,
    certificates::{Authority, Issued, write},
    own_server,
};

/// Authentication rules; PostgreSQL takes the first line that matches.
const HBA: &str = "\
host      all pgfan     all trust
host      all trusting  all trust
hostssl   all tlsonly   all trust
hostnossl all plainonly all trust
hostssl   all certuser  all cert
host      all scram     all scram-sha-256
";

const ROLES: &str = r"
SET password_encryption = 'scram-sha-256';
CREATE ROLE trusting LOGIN;
CREATE ROLE tlsonly LOGIN;
CREATE ROLE plainonly LOGIN;
CREATE ROLE certuser LOGIN;
CREATE ROLE scram LOGIN PASSWORD 's3:cr\et';
";

/// TLS version of this session, and the identity that the client proved.
const STATE: &str = "SELECT CASE WHEN ssl THEN version || coalesce(' ' || client_dn, '') \
    ELSE 'plain' END FROM pg_stat_ssl WHERE pid = pg_backend_pid()";

/// A server with the name `db.test`.
pub struct Secured {
    server: Sandbox,
    pub database: Database,
    folder: TempDir,
    /// The authority that the server trusts and that signed its certificate.
    pub good: Authority,
}

impl Secured {
    pub async fn new() -> Self {
        let good = Authority::new("good");
        let leaf = good.server(&["db.test", "127.0.0.1"]);
        Self::with(good, &leaf).await
    }

    pub async fn with(good: Authority, leaf: &Issued) -> Self {
        let mut server = own_server(&[]).await;
        let database = Database::at(server.url()).await;
        database.client.batch_execute(ROLES).await.unwrap();
        server.stop(Mode::Fast).await.unwrap();
        let secured = "ssl = on\nssl_ca_file = 'root.crt'\n";
        give(&server, "postgresql.auto.conf", secured);
        give(&server, "pg_hba.conf", HBA);
        give(&server, "root.crt", &good.certificate);
        give(&server, "server.crt", &leaf.certificate);
        give(&server, "server.key", &leaf.key);
        server.start_again().await.unwrap();
        Self {
            database: Database::at(server.url()).await,
            server,
            folder: TempDir::new().unwrap(),
            good,
        }
    }

    /// Settings for this server, with the defaults for everything else.
    pub fn settings(&self, user: &str, host: &str, more: &str) -> String {
        let port = self.server.port();
        format!("host={host} hostaddr=127.0.0.1 port={port} user={user} dbname=postgres {more}")
    }

    pub async fn reach(&self, user: &str, more: &str) -> String {
        reach(&self.settings(user, "db.test", more), &[]).await
    }

    /// Creates a file of the client that only its owner can read.
    pub fn file(&self, name: &str, text: &str) -> String {
        self.file_with(name, text, 0o600)
    }

    pub fn file_with(&self, name: &str, text: &str, mode: u32) -> String {
        let path = write(self.folder.path(), name, text, mode);
        path.display().to_string()
    }

    pub fn root(&self) -> String {
        self.file("good.crt", &self.good.certificate)
    }

    /// The settings that present this certificate.
    pub fn shown(&self, client: &Issued) -> String {
        let certificate = self.file("client.crt", &client.certificate);
        let key = self.file("client.key", &client.key);
        format!("sslcert={certificate} sslkey={key}")
    }
}

/// Writes a file that belongs to the server: it refuses a key that another user
/// owns or can read.
fn give(server: &Sandbox, name: &str, text: &str) {
    let owner = fs::metadata(server.data_dir()).unwrap();
    let path = write(&server.data_dir(), name, text, 0o600);
    chown(path, Some(owner.uid()), Some(owner.gid())).unwrap();
}

/// The session's state in the server, or the error if there is none.
pub async fn reach(settings: &str, variables: &[(&str, &str)]) -> String {
    let environment = |name: &str| {
        let known = variables.iter().find(|(variable, _)| *variable == name);
        known.map(|(_, value)| value.to_string())
    };
    let target = match ConnInfo::resolve(Some(settings), &environment) {
        Ok(conninfo) => conninfo.targets().unwrap().remove(0),
        Err(mistakes) => return format!("mistake: {}", mistakes[0]),
    };
    let (client, mut connection) = match target.connect().await {
        Ok(session) => session,
        Err(error) => return error.to_string(),
    };
    tokio::spawn(async move {
        while let Some(Ok(_)) = poll_fn(|cx| connection.poll_message(cx)).await {}
    });
    let rows = client.simple_query(STATE).await.unwrap();
    let state = rows.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0),
        _ => None,
    });
    state.unwrap().to_owned()
}
