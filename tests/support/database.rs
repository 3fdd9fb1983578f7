//! One server for all tests, and a database for each test: notifications stay
//! within a database.

use std::{
    cell::Cell,
    path::Path,
    sync::atomic::{AtomicU32, Ordering},
};

use pgfan::temp_postgres::{Binaries, Options, Sandbox, Search};
use tokio::sync::OnceCell;
use tokio_postgres::{Client, NoTls};

use super::{environment, until};

/// Never dropped: its guardian ends it with this process.
static SERVER: OnceCell<Sandbox> = OnceCell::const_new();

static DATABASES: AtomicU32 = AtomicU32::new(0);

fn options() -> Options {
    let (pg_bin, path) = (environment("PG_BIN"), environment("PATH"));
    let binaries = Binaries::find(Search {
        pg_bin: pg_bin.as_deref().map(Path::new),
        path: path.as_deref().map(AsRef::as_ref),
        private: Some(Path::new(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/target/postgres"
        ))),
    });
    Options::new(binaries.unwrap()).with("max_connections", "200")
}

/// A server that a test may stop, kill or configure.
pub async fn own_server(settings: &[(&str, &str)]) -> Sandbox {
    let with = |options: Options, (name, value): &(&str, &str)| options.with(name, value);
    let options = settings.iter().fold(options(), with);
    Sandbox::start(options).await.unwrap()
}

/// A standby of `primary`, which a test may promote.
pub async fn standby_of(primary: &Sandbox) -> Sandbox {
    primary.start_standby(options()).await.unwrap()
}

/// Promotes it, and returns when it accepts writes.
pub async fn promote(standby: &Sandbox) -> Database {
    let database = Database::at(standby.url()).await;
    let promoting = database.client.query_one("SELECT pg_promote()", &[]);
    let promoted: bool = promoting.await.unwrap().get(0);
    assert!(promoted);
    database
}

/// A new database, and a connection to it like that of an application.
pub struct Database {
    pub url: String,
    pub client: Client,
}

impl Database {
    pub async fn new() -> Self {
        Self::with_encoding("UTF8").await
    }

    pub async fn with_encoding(encoding: &str) -> Self {
        let start = || async { Sandbox::start(options()).await.unwrap() };
        let server = SERVER.get_or_init(start).await;
        Self::on(server, encoding).await
    }

    /// Creates a database on the given server.
    pub async fn on(server: &Sandbox, encoding: &str) -> Self {
        let name = format!("test_{}", DATABASES.fetch_add(1, Ordering::Relaxed));
        let admin = connect(&server.url()).await;
        let create = format!("CREATE DATABASE {name} TEMPLATE template0 ENCODING '{encoding}'");
        admin.batch_execute(&create).await.unwrap();
        let url = server.url().replace("/postgres", &format!("/{name}"));
        Self::at(url).await
    }

    pub async fn at(url: String) -> Self {
        let client = connect(&url).await;
        Self { url, client }
    }

    /// Connects as soon as the server accepts sessions again.
    pub async fn back(url: String) -> Self {
        let is_up = || async { tokio_postgres::connect(&url, NoTls).await.is_ok() };
        until("the server takes sessions", is_up).await;
        Self::at(url).await
    }

    /// Runs statements that have no answer.
    pub async fn run(&self, sql: &str) {
        self.client.batch_execute(sql).await.unwrap();
    }

    /// Commits one notification.
    pub async fn notify(&self, channel: &str, payload: &str) {
        let sql = "SELECT pg_notify($1, $2)";
        self.client
            .execute(sql, &[&channel, &payload])
            .await
            .unwrap();
    }

    /// Commits several notifications in one transaction, numbered from `first`.
    pub async fn notify_range(&self, channel: &str, first: i32, last: i32) {
        let sql = "SELECT pg_notify($1, n::text) FROM generate_series($2::int, $3::int) AS n";
        self.client
            .query(sql, &[&channel, &first, &last])
            .await
            .unwrap();
    }

    /// The backends of gateways on this database that have LISTENed.
    pub async fn listeners(&self) -> Vec<i32> {
        let sql = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() \
                   AND application_name = 'pgfan' AND query ~ '(LISTEN|pgfan:)'";
        let rows = self.client.query(sql, &[]).await.unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    }

    /// Waits until the gateway's listening session has sent two more heartbeat
    /// queries. The first of them has arrived by then, because the next is not
    /// sent before.
    pub async fn later_beats(&self) {
        let sql = "SELECT query_start::text FROM pg_stat_activity \
                   WHERE datname = current_database() AND application_name = 'pgfan' \
                   AND query ~ 'pg_notify.*pgfan:'";
        let last: Cell<Option<String>> = Cell::new(None);
        let beats = Cell::new(0);
        until("two beats are sent", || async {
            let row = self.client.query_opt(sql, &[]).await.unwrap();
            let sent: Option<String> = row.map(|row| row.get(0));
            if sent.is_some() && last.replace(sent.clone()) != sent {
                beats.set(beats.get() + 1);
            }
            beats.get() == 3
        })
        .await;
    }

    /// Ends the sessions of gateways on this database.
    pub async fn terminate(&self) -> i64 {
        let sql = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
                   WHERE datname = current_database() AND application_name = 'pgfan'";
        self.client.query_one(sql, &[]).await.unwrap().get(0)
    }
}

async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}
