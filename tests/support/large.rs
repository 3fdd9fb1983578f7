//! More data than the buffers of a connection hold, and readers that become too
//! slow because of it.

use std::ops::RangeInclusive;

use tokio_postgres::types::ToSql;

use super::{Database, Reader, Said, Wire};

/// Number of notifications that fills every buffer on their way.
pub const EVENTS: i32 = 4000;

/// Number of notifications that a log of 1 MiB holds for its readers at once:
/// each is kept as it came, and as encoded for each of four transports.
pub const STEP: i32 = 20;

/// Sends notifications of 7.9 KB each, numbered, on the channel `a`.
pub async fn notify_large(database: &Database, numbers: RangeInclusive<i32>) {
    let sql = "SELECT pg_notify('a', n || ' ' || repeat('x', 7900)) \
               FROM generate_series($1::int, $2::int) AS n";
    let ends: [&(dyn ToSql + Sync); 2] = [numbers.start(), numbers.end()];
    database.client.query(sql, &ends).await.unwrap();
}

/// Receives each of these numbers, in order.
pub async fn hears_large(reader: &mut Reader, numbers: RangeInclusive<i32>) {
    for n in numbers {
        let (_, payload) = reader.event().await;
        assert!(payload.starts_with(&format!("{n} ")), "{n}: {payload:.20}");
    }
}

/// The reader receives its gap, or the end if its protocol reports gaps this
/// way, before it has received all `EVENTS`.
pub async fn is_overtaken(reader: &mut Reader, wire: Wire) {
    let mut heard = 0;
    let end = loop {
        match reader.said().await {
            Said::Event { .. } => heard += 1,
            other => break other,
        }
    };
    assert!(heard < EVENTS, "{wire:?} was overtaken");
    match wire {
        Wire::PgCacheWatch => assert_eq!(end, Said::Closed(1012, "interrupted".into())),
        _ => assert!(
            matches!(&end, Said::Gap { reason, .. } if reason == "slow_reader"),
            "{wire:?}: {end:?}"
        ),
    }
}

/// Receives up to `last`. A reader that is at the head when it gets its gap may
/// fall behind again.
pub async fn goes_on_to(reader: &mut Reader, last: &str, wire: Wire) {
    loop {
        match reader.said().await {
            Said::Event { payload, .. } if payload == last => return,
            Said::Event { .. } => {}
            Said::Gap { reason, .. } if reason == "slow_reader" => {}
            other => panic!("{wire:?}: {other:?}"),
        }
    }
}
