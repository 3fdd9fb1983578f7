//! Random requests, far more than round trips, against a real server: it listens to
//! exactly the wanted channels, and notifications on reported channels arrive. Runs in
//! a database in UTF8, and in one in EUC_JP, where names are truncated, changed and
//! refused.

mod world;

use std::{path::Path, time::Duration};

use tokio_postgres::{Client, NoTls};

use super::*;
use crate::temp_postgres::{Binaries, Options, Sandbox, Search};
use world::World;

const SEEDS: u64 = 12;
const STEPS: usize = 150;
const PATIENCE: Duration = Duration::from_secs(20);

const PRIVATE: &str = "pgfan:test";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Good,
    /// Two bytes in UTF-8 are three in EUC_JP, or two characters are one: the resulting
    /// name.
    Becomes(&'static str),
    /// EUC_JP has no such character.
    Impossible,
}

impl Kind {
    fn becomes(self) -> Option<&'static str> {
        match self {
            Self::Becomes(other) => Some(other),
            _ => None,
        }
    }
}

/// Each truncated or changed name becomes another one of the list, except for one.
const NAMES: [(&str, Kind); 11] = [
    ("a", Kind::Good),
    ("b", Kind::Good),
    ("c", Kind::Good),
    ("d", Kind::Good),
    ("e", Kind::Good),
    ("ééééééééééééééééééééé", Kind::Good),
    ("\u{ffe4}", Kind::Good),
    (
        "éééééééééééééééééééééé",
        Kind::Becomes("ééééééééééééééééééééé"),
    ),
    (
        "xéééééééééééééééééééééé",
        Kind::Becomes("xéééééééééééééééééééé"),
    ),
    ("\u{a6}", Kind::Becomes("\u{ffe4}")),
    ("😀", Kind::Impossible),
];

fn kind(name: &str) -> Kind {
    let known = NAMES.iter().find(|(n, _)| *n == name);
    known.expect("one of ours").1
}

fn name(text: &str) -> ChannelName {
    ChannelName::new(text).expect("a name")
}

#[allow(
    clippy::disallowed_methods,
    reason = "the environment says which server is tested"
)]
async fn server() -> Sandbox {
    let (pg_bin, path) = (std::env::var_os("PG_BIN"), std::env::var_os("PATH"));
    let search = Search {
        pg_bin: pg_bin.as_deref().map(Path::new),
        path: path.as_deref(),
        private: Some(concat!(env!("CARGO_MANIFEST_DIR"), "/target/postgres").as_ref()),
    };
    let binaries = Binaries::find(search).expect("a PostgreSQL server, see tests/postgres/setup");
    Sandbox::start(Options::new(binaries))
        .await
        .expect("a server")
}

/// Creates a database with this encoding.
async fn database(server: &Sandbox, encoding: &str) -> String {
    let admin = other(&server.url()).await;
    let create = format!("CREATE DATABASE {encoding} TEMPLATE template0 ENCODING '{encoding}'");
    admin.batch_execute(&create).await.unwrap();
    let name = format!("/{}", encoding.to_lowercase());
    server.url().replace("/postgres", &name)
}

/// Another session, whose connection is polled by a task.
async fn other(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

impl World {
    async fn step(&mut self) {
        match self.random.u8(..100) {
            0..45 => self.wish(),
            // The source does this between round trips; here it happens at any time.
            45..75 => self.follow().await,
            75..95 => {
                self.answered().await;
                self.listening.send_next(&self.wanted);
                self.take_in();
            }
            95..98 => {
                for channel in self.ready() {
                    // Channels that were unsubscribed, but not yet in the source, may
                    // be ready.
                    self.is_heard(&channel).await;
                }
            }
            98 => self.settle().await,
            _ => self.lose().await,
        }
    }

    /// Waits for the statement in flight.
    async fn answered(&mut self) {
        while self.listening.is_busy() {
            self.advance().await;
        }
    }
}

#[tokio::test]
async fn what_is_wanted_is_what_the_server_listens_to_whatever_is_wished() {
    let server = server().await;
    for (encoding, respells) in [("UTF8", false), ("EUC_JP", true)] {
        let url = database(&server, encoding).await;
        for seed in 0..SEEDS {
            println!("{encoding}, seed {seed}");
            let mut world = World::new(seed, &url, respells).await;
            for _ in 0..STEPS {
                world.step().await;
            }
            world.settle().await;
        }
    }
}
