//! A server, a table whose writer notifies, a link that freezes, a gateway
//! that is restarted.

use std::{
    collections::{BTreeMap, HashMap},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use fastrand::Rng;
use pgfan::sandbox::{Mode, Sandbox};
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Instant, sleep},
};
use tokio_postgres::{Client, NoTls, Row};

use crate::support::{Link, TestGateway, own_server, within};

/// So many that each is written seldom: what is stale stays so.
pub const KEYS: i32 = 2000;
pub const CHANNELS: i32 = 4;

/// Keys that are read together.
pub const BLOCK: i32 = 50;

/// A session is suspect soon, a channel given up soon, a cursor soon too old.
const SETTINGS: [(&str, &str); 5] = [
    ("heartbeat-interval", "200ms"),
    ("heartbeat-timeout", "400ms"),
    ("linger", "1s"),
    ("history-events", "50"),
    ("keepalive", "500ms"),
];

const TABLE: &str = "CREATE TABLE entry (key int PRIMARY KEY, value bigint NOT NULL); \
    INSERT INTO entry SELECT key, 0 FROM generate_series(0, 1999) AS key";

pub fn channel(key: i32) -> String {
    format!("entries {}", key % CHANNELS)
}

pub struct World {
    server: Sandbox,
    link: Link,
    gateway: TestGateway,
    address: watch::Sender<SocketAddr>,
    view: View,
    writer: JoinHandle<()>,
}

/// What an application sees: where the gateway is, and its own database.
#[derive(Clone)]
pub struct View {
    address: watch::Receiver<SocketAddr>,
    database: Arc<Database>,
}

/// A connection that is made anew when it broke.
struct Database {
    url: String,
    client: tokio::sync::Mutex<Option<Client>>,
}

impl Database {
    /// Nothing while the server is away.
    async fn query(&self, sql: &str, number: i32) -> Option<Vec<Row>> {
        let mut client = self.client.lock().await;
        if client.as_ref().is_none_or(Client::is_closed) {
            let (new, connection) = tokio_postgres::connect(&self.url, NoTls).await.ok()?;
            tokio::spawn(connection);
            *client = Some(new);
        }
        client.as_ref()?.query(sql, &[&number]).await.ok()
    }

    fn of(server: &Sandbox) -> Arc<Self> {
        Arc::new(Self {
            url: server.url(),
            client: tokio::sync::Mutex::new(None),
        })
    }
}

impl View {
    pub fn address(&self) -> SocketAddr {
        *self.address.borrow()
    }

    /// The values of a block, by key.
    pub async fn read(&self, block: i32) -> Option<HashMap<i32, i64>> {
        let sql = "SELECT key, value FROM entry WHERE key / 50 = $1";
        let rows = self.database.query(sql, block).await?;
        Some(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
    }
}

/// Changes a key and says so, in one transaction.
async fn write(database: Arc<Database>, mut rng: Rng) {
    let sql = "WITH changed AS (UPDATE entry SET value = value + 1 WHERE key = $1 RETURNING key) \
        SELECT count(pg_notify('entries ' || key % 4, key::text)) FROM changed";
    loop {
        database.query(sql, rng.i32(0..KEYS)).await;
        sleep(Duration::from_millis(2)).await;
    }
}

impl World {
    pub async fn new() -> Self {
        let server = own_server(&[]).await;
        let (client, connection) = tokio_postgres::connect(&server.url(), NoTls).await.unwrap();
        let connection = tokio::spawn(connection);
        client.batch_execute(TABLE).await.unwrap();
        drop(client);
        within("the connection ends", connection)
            .await
            .unwrap()
            .unwrap();
        let link = Link::to(server.port()).await;
        let gateway = gateway(&link);
        let (address, addresses) = watch::channel(gateway.address);
        let view = View {
            address: addresses,
            database: Database::of(&server),
        };
        let writer = tokio::spawn(write(Database::of(&server), Rng::with_seed(1)));
        Self {
            server,
            link,
            gateway,
            address,
            view,
            writer,
        }
    }

    pub fn view(&self) -> View {
        self.view.clone()
    }

    /// Faults at random for so long; returns how many of each.
    pub async fn suffer(&mut self, time: Duration, rng: &mut Rng) -> BTreeMap<&'static str, u32> {
        let end = Instant::now() + time;
        let mut faults = BTreeMap::new();
        while Instant::now() < end {
            sleep(Duration::from_millis(rng.u64(200..1500))).await;
            *faults.entry(self.fault(rng).await).or_default() += 1;
        }
        faults
    }

    async fn fault(&mut self, rng: &mut Rng) -> &'static str {
        match rng.u8(0..8) {
            0..3 => {
                let sql = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
                    WHERE application_name = 'pgfan' AND $1::int > 0";
                self.view.database.query(sql, 1).await;
                "terminate"
            }
            3..5 => {
                self.link.freeze();
                sleep(Duration::from_millis(rng.u64(50..1500))).await;
                self.link.thaw();
                "freeze"
            }
            5 => self.restart(Mode::Fast).await,
            6 => self.restart(Mode::Immediate).await,
            _ => {
                self.gateway.begin_shutdown();
                self.gateway = gateway(&self.link);
                self.address.send_replace(self.gateway.address);
                "gateway"
            }
        }
    }

    async fn restart(&mut self, mode: Mode) -> &'static str {
        self.server.stop(mode).await.unwrap();
        self.server.start_again().await.unwrap();
        match mode {
            Mode::Immediate => "immediate",
            _ => "fast",
        }
    }

    /// The writer stops, and nothing happens any more.
    pub async fn settle(&mut self) {
        self.writer.abort();
        self.gateway.ready().await;
    }

    pub async fn table(&self) -> HashMap<i32, i64> {
        let mut table = HashMap::new();
        for block in 0..KEYS / BLOCK {
            table.extend(self.view.read(block).await.unwrap());
        }
        table
    }
}

fn gateway(link: &Link) -> TestGateway {
    let url = format!("postgresql://pgfan@127.0.0.1:{}/postgres", link.port);
    TestGateway::starting(&url, &SETTINGS)
}
