//! The same readers on the original distributor of PGCacheWatch 0.4.2: after
//! the end of its one session it stays open and silent, and the checker finds
//! the stale values. This shows that the checker can fail.

use std::{net::SocketAddr, path::Path};

use fastrand::Rng;
use tokio::{sync::watch, time::Instant};

use crate::{
    application::{self, Database, View, Writer},
    keeper::{Habits, Keeper, Kept},
    settled,
    support::{
        Wire,
        gateway_process::libpq_variables,
        program::{Program, command},
        within,
    },
};

/// The interpreter that `tests/clients/setup` installed.
const PYTHON: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/target/clients/venv/bin/python"
);

const DISTRIBUTOR: [&str; 6] = [
    "-B",
    "-m",
    "uvicorn",
    "pgcachewatch.pg_event_distributor:main",
    "--factory",
    "--port=0",
];

/// Returns when the session is gone. The application's own session continues.
const TERMINATE: &str = "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity \
    WHERE pid <> pg_backend_pid() AND query LIKE 'LISTEN%' AND $1::int > 0";

/// `INFO:     Uvicorn running on http://127.0.0.1:41677 (Press CTRL+C to quit)`
fn address_in_log(log: &[u8]) -> Option<SocketAddr> {
    let log = String::from_utf8_lossy(log);
    let (_, rest) = log.split_once("running on http://")?;
    let (address, _) = rest.split_once(' ')?;
    address.parse().ok()
}

fn reader(name: &'static str, view: &View, rng: &mut Rng) -> Keeper {
    let habits = Habits {
        wire: Wire::PgCacheWatch,
        name,
        leaves: false,
        pauses: false,
    };
    Keeper::spawn(habits, view.clone(), rng.fork())
}

async fn has_a_cache(keeper: &Keeper) {
    let mut kept = keeper.kept.clone();
    let is_at_work = |kept: &Kept| kept.events > 0 && kept.cache.len() > 10;
    let wait = kept.wait_for(is_at_work);
    drop(within("the cache is at work", wait).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_original_distributor_leaves_stale_entries() {
    assert!(Path::new(PYTHON).exists(), "{PYTHON}: run `make clients`");
    let server = application::server().await;
    let mut python = command(PYTHON);
    let python = python
        .args(DISTRIBUTOR)
        .envs(libpq_variables(&server.url()));
    let mut distributor = Program::start(python);
    let address = distributor.stderr.until("address", address_in_log).await;

    let database = Database::of(&server);
    let view = View {
        address: watch::channel(address).1,
        database: database.clone(),
        known: std::sync::Arc::new(application::Known::new()),
        writing: watch::channel(true).1,
    };
    let mut rng = Rng::with_seed(1);
    let keepers = ["one", "two"].map(|name| reader(name, &view, &mut rng));
    let writer = Writer::start(Database::of(&server), rng.fork());
    for keeper in &keepers {
        has_a_cache(keeper).await;
    }
    let terminated = database.query(TERMINATE, 1).await.unwrap();
    assert_eq!(terminated.len(), 1, "one session for all");
    database.change_all().await;
    writer.stop().await;

    let begin = Instant::now();
    let table = view.table().await;
    let agreement = settled::agreement(&keepers, &table, begin).await;
    let disagreements = agreement.unwrap_err();
    assert_eq!(disagreements.len(), keepers.len());
    for found in &disagreements {
        let (reader, count) = (&found.reader, found.stale.len());
        println!(
            "{reader} on the original distributor, as expected: {count} of {} stale",
            found.cached
        );
        assert!(count > 0 && found.is_live, "{found:?}");
    }
}
