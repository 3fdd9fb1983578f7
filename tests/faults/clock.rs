//! F31: the gateway's clock is set.

use std::{fs, path::Path};

use tempfile::TempDir;

use crate::{
    audience::Audience,
    support::{
        Database, EventStream, Reader, Wire,
        gateway_process::{GatewayProcess, libpq_variables, pgfan},
        tool,
    },
};

/// The date in the gateway's timestamp of the next event.
async fn day(stream: &mut EventStream) -> String {
    let message = stream.message().await;
    let object: serde_json::Value = serde_json::from_str(&message.data).unwrap();
    object["received_at"].as_str().unwrap()[..10].to_owned()
}

/// Replaces the file atomically.
fn set(clock: &Path, step: &str) {
    let new = clock.with_extension("new");
    fs::write(&new, step).unwrap();
    fs::rename(new, clock).unwrap();
}

/// A library answers the gateway's requests for the time; the monotonic clock
/// is unchanged, as when a real clock is set.
async fn gateway_with_a_clock(database: &Database, clock: &Path) -> GatewayProcess {
    let mut command = pgfan();
    command.arg("serve").envs(libpq_variables(&database.url));
    command.env("LD_PRELOAD", tool("lib/libfaketimeMT.so.1"));
    command.env("FAKETIME_TIMESTAMP_FILE", clock);
    command.env("FAKETIME_NO_CACHE", "1");
    command.env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    let gateway = GatewayProcess::serve(&mut command).await;
    gateway.ready().await;
    gateway
}

#[tokio::test(flavor = "multi_thread")]
async fn f31_a_clock_that_jumps_a_day_changes_nothing() {
    let database = Database::new().await;
    let folder = TempDir::new().unwrap();
    let clock = folder.path().join("clock");
    set(&clock, "+0");
    let gateway = gateway_with_a_clock(&database, &clock).await;
    let mut audience = Audience::of(gateway.address).await;
    let mut dated = EventStream::open(gateway.address, "/v1/sse?channel=a", &[]).await;
    dated.message().await;
    let cursor = dated.source.last_event_id.clone();
    let pid = database.listeners().await;
    let mut days = Vec::new();
    for step in ["+0", "+1d", "-1d", "+0"] {
        set(&clock, step);
        for payload in ["at once", "after beats and a sweep of the history"] {
            let payload = format!("{step} {payload}");
            database.notify("a", &payload).await;
            audience.hear(&payload).await;
            days.push(day(&mut dated).await);
            database.later_beats().await;
        }
    }
    days.dedup();
    assert!(days.len() >= 4, "the clock was set: {days:?}");
    assert_eq!(database.listeners().await, pid, "the same session");
    for wire in Wire::FULL {
        let mut late = Reader::open(wire, gateway.address, &["a"], Some(&cursor)).await;
        assert_eq!(
            late.event().await.1,
            "+0 at once",
            "{wire:?}: nothing was let go"
        );
    }
}
