//! The application: its table, its own connection to the database, and its
//! writer, which changes a row and notifies in one transaction.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::Duration,
};

use fastrand::Rng;
use pgfan::temp_postgres::Sandbox;
use tokio::{
    sync::{Mutex, MutexGuard, watch},
    task::{JoinHandle, yield_now},
    time::sleep,
};
use tokio_postgres::{Client, NoTls, Row};

use crate::support::{own_server, within};

/// Enough keys that each is rarely written: a stale value stays stale.
pub const KEYS: i32 = 2000;
pub const CHANNELS: i32 = 4;

/// Keys that are read together.
pub const BLOCK: i32 = 50;

/// Blocks of a burst, and how often it names each key.
const BURST_BLOCKS: i32 = 5;
const COPIES: i32 = 12;

/// Notifications of a burst in one transaction: a few thousand, with more bytes
/// than the gateway's history holds.
pub const BURST: i32 = BURST_BLOCKS * BLOCK * COPIES;

/// Interval between the writer's changes: about 200 a second.
const WRITES: Duration = Duration::from_millis(4);

const TABLE: &str = "CREATE TABLE entry (key int PRIMARY KEY, value bigint NOT NULL); \
    INSERT INTO entry SELECT key, 0 FROM generate_series(0, 1999) AS key";

const SELECT: &str = "SELECT key, value FROM entry WHERE key / 50 = $1";

/// The rest of the payload makes the notification as long as those of real
/// applications: a reader that does not read soon has full buffers.
const CHANGE: &str = "WITH changed AS \
    (UPDATE entry SET value = value + 1 WHERE key = $1 RETURNING key, value) \
    SELECT count(pg_notify('entries ' || key % 4, concat_ws(' ', key, value, repeat('.', 300)))) \
    FROM changed";

const CHANGE_MANY: &str = "WITH changed AS \
    (UPDATE entry SET value = value + 1 WHERE key / 50 BETWEEN $1 AND $1 + 4 RETURNING key) \
    SELECT count(pg_notify('entries ' || key % 4, key || ' ' || n || repeat('.', 1000))) \
    FROM changed, generate_series(1, 12) AS n";

const CHANGE_ALL: &str = "WITH changed AS \
    (UPDATE entry SET value = value + 1 WHERE key >= $1 RETURNING key) \
    SELECT count(pg_notify('entries ' || key % 4, key::text)) FROM changed";

pub fn channel(key: i32) -> String {
    format!("entries {}", key % CHANNELS)
}

/// The key that a notification names.
pub fn key(payload: &str) -> i32 {
    let key = payload.split(' ').next().unwrap();
    key.parse().unwrap()
}

/// The newest value of each key that any reader has received: the gateway has
/// the event, for every reader.
#[derive(Debug)]
pub struct Known(Vec<AtomicI64>);

impl Known {
    pub fn new() -> Self {
        Self((0..KEYS).map(|_| AtomicI64::new(0)).collect())
    }

    /// A burst names no values.
    pub fn note(&self, payload: &str) {
        let value = payload.split(' ').nth(1).and_then(|text| text.parse().ok());
        if let Some(value) = value {
            self.0[key(payload) as usize].fetch_max(value, Ordering::SeqCst);
        }
    }

    /// By key.
    pub fn now(&self) -> Vec<i64> {
        let values = self.0.iter();
        values.map(|value| value.load(Ordering::SeqCst)).collect()
    }
}

/// Starts a server for this test, with the table.
pub async fn server() -> Sandbox {
    let server = own_server(&[]).await;
    let (client, connection) = tokio_postgres::connect(&server.url(), NoTls).await.unwrap();
    let connection = tokio::spawn(connection);
    client.batch_execute(TABLE).await.unwrap();
    drop(client);
    let ended = within("the connection ends", connection).await;
    ended.unwrap().unwrap();
    server
}

/// A connection that is made again after it broke.
pub struct Database {
    url: String,
    client: Mutex<Option<Client>>,
}

impl Database {
    pub fn of(server: &Sandbox) -> Arc<Self> {
        Arc::new(Self {
            url: server.url(),
            client: Mutex::new(None),
        })
    }

    /// `None` while the server is away: the statement may be done then, or not.
    pub async fn query(&self, sql: &str, number: i32) -> Option<Vec<Row>> {
        let mut client = self.connected().await?;
        client.as_mut()?.query(sql, &[&number]).await.ok()
    }

    /// Whether this notification is certainly committed.
    pub async fn notify(&self, channel: &str, payload: &str) -> bool {
        let Some(mut client) = self.connected().await else {
            return false;
        };
        let sql = "SELECT pg_notify($1, $2)";
        let client = client.as_mut().unwrap();
        client.execute(sql, &[&channel, &payload]).await.is_ok()
    }

    async fn connected(&self) -> Option<MutexGuard<'_, Option<Client>>> {
        let mut client = self.client.lock().await;
        if client.as_ref().is_none_or(Client::is_closed) {
            let (new, connection) = tokio_postgres::connect(&self.url, NoTls).await.ok()?;
            tokio::spawn(connection);
            *client = Some(new);
        }
        Some(client)
    }

    /// Closes the connection while this is held: a smart shutdown waits for
    /// every one.
    pub async fn held_back(&self) -> MutexGuard<'_, Option<Client>> {
        let mut client = self.client.lock().await;
        *client = None;
        client
    }

    /// A few thousand notifications in one transaction.
    pub async fn burst(&self, rng: &mut Rng) {
        let block = rng.i32(0..=KEYS / BLOCK - BURST_BLOCKS);
        self.query(CHANGE_MANY, block).await;
    }

    /// Changes every row of the table.
    pub async fn change_all(&self) {
        self.query(CHANGE_ALL, 0).await.unwrap();
    }
}

/// View of an application: the gateway's address, and its own database.
#[derive(Clone)]
pub struct View {
    pub address: watch::Receiver<SocketAddr>,
    pub database: Arc<Database>,
    pub known: Arc<Known>,
    /// Whether there are still writes: no reader starts a pause after them.
    pub writing: watch::Receiver<bool>,
}

impl View {
    /// The values of a block, by key.
    pub async fn read(&self, block: i32) -> Option<HashMap<i32, i64>> {
        let rows = self.database.query(SELECT, block).await?;
        Some(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
    }

    /// The whole table, as soon as the server answers.
    pub async fn table(&self) -> HashMap<i32, i64> {
        let mut table = HashMap::new();
        for block in 0..KEYS / BLOCK {
            table.extend(within("the server answers", self.block(block)).await);
        }
        table
    }

    async fn block(&self, block: i32) -> HashMap<i32, i64> {
        loop {
            if let Some(values) = self.read(block).await {
                return values;
            }
            yield_now().await;
        }
    }
}

/// Writer that runs until it is stopped.
pub struct Writer {
    stopped: Arc<AtomicBool>,
    running: JoinHandle<()>,
}

impl Writer {
    pub fn start(database: Arc<Database>, mut rng: Rng) -> Self {
        let stopped = Arc::new(AtomicBool::new(false));
        let is_stopped = Arc::clone(&stopped);
        let running = tokio::spawn(async move {
            while !is_stopped.load(Ordering::Relaxed) {
                database.query(CHANGE, rng.i32(0..KEYS)).await;
                sleep(WRITES).await;
            }
        });
        Self { stopped, running }
    }

    /// Returns when nothing is written any more.
    pub async fn stop(self) {
        self.stopped.store(true, Ordering::Relaxed);
        within("the writer ends", self.running).await.unwrap();
    }
}
