//! More than the buffers of a connection hold, and readers that are overtaken
//! by it.

use std::ops::RangeInclusive;

use tokio_postgres::types::ToSql;

use super::{Database, Reader, Said, Wire};

/// Notifications that fill every buffer on their way.
pub const EVENTS: i32 = 4000;

/// So many at once a log of 1 MiB holds for those who read: each is kept as it
/// came, and as each of four wires writes it.
pub const STEP: i32 = 20;

/// Of 7.9 KB each, numbered, on the channel `a`.
pub async fn notify_large(database: &Database, numbers: RangeInclusive<i32>) {
    let sql = "SELECT pg_notify('a', n || ' ' || repeat('x', 7900)) \
               FROM generate_series($1::int, $2::int) AS n";
    let ends: [&(dyn ToSql + Sync); 2] = [numbers.start(), numbers.end()];
    database.client.query(sql, &ends).await.unwrap();
}

/// Each of these numbers, in order.
pub async fn hears_large(reader: &mut Reader, numbers: RangeInclusive<i32>) {
    for n in numbers {
        let (_, payload) = reader.event().await;
        assert!(payload.starts_with(&format!("{n} ")), "{n}: {payload:.20}");
    }
}

/// It hears of its gap before it has heard all `EVENTS`: or of the end, where
/// that is how its wire tells.
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

/// What is at the head when it gets its gap may be overtaken in turn.
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
