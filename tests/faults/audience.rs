//! One reader on each transport, and the messages that all of them must get.

use std::{net::SocketAddr, time::Duration};

use futures_util::future::join_all;
use tokio::time::Instant;

use crate::support::{Reader, Said, Wire, within};

/// Channel of all readers.
pub const CHANNEL: &str = "a";

/// Time limit for a loss that PostgreSQL or the kernel reports.
pub const AT_ONCE: Duration = Duration::from_secs(1);

/// Time limit for a silent loss, with the default heartbeat: 2 s to the next
/// heartbeat query, 3 s for its answer, and a moment for the message to the
/// readers.
pub const SILENT: Duration = Duration::from_millis(5300);

pub struct Audience {
    address: SocketAddr,
    /// Readers of the transports that can express every message.
    full: Vec<Reader>,
    /// Reader of PGCacheWatch, which can only close.
    old: Reader,
}

impl Audience {
    /// Opens the readers; each has received its `ready`.
    pub async fn of(address: SocketAddr) -> Self {
        let mut full = Vec::new();
        for wire in Wire::FULL {
            let mut reader = Reader::open(wire, address, &[CHANNEL], None).await;
            reader.ready().await;
            full.push(reader);
        }
        let old = come_back(address).await;
        Self { address, full, old }
    }

    /// The next message is that no events arrive.
    pub async fn are_interrupted(&mut self, since: Instant, limit: Duration) {
        for reader in &mut self.full {
            assert_eq!(reader.said().await, Said::Interrupted);
        }
        let closed = Said::Closed(1012, "interrupted".into());
        assert_eq!(self.old.said().await, closed);
        let took = since.elapsed();
        assert!(
            took < limit,
            "told after {took:?}, and not within {limit:?}"
        );
    }

    /// The next messages are the gap and the return to live; the reader that
    /// was disconnected is accepted again.
    pub async fn are_live_again(&mut self) {
        for reader in &mut self.full {
            let gap = reader.said().await;
            assert!(is_gap(&gap), "{gap:?}");
            let live = reader.said().await;
            assert!(matches!(live, Said::Live { .. }), "{live:?}");
        }
        self.old = come_back(self.address).await;
    }

    /// The next message is this event.
    pub async fn hear(&mut self, payload: &str) {
        for reader in self.everybody() {
            assert_eq!(reader.event().await.1, payload);
        }
    }

    pub fn everybody(&mut self) -> impl Iterator<Item = &mut Reader> {
        self.full.iter_mut().chain([&mut self.old])
    }
}

pub fn is_gap(said: &Said) -> bool {
    matches!(said, Said::Gap { reason, .. } if reason == "source_lost")
}

/// Reconnects until it is accepted, as its application does.
pub async fn come_back(address: SocketAddr) -> Reader {
    within("the PGCacheWatch wire serves", async {
        loop {
            let mut reader = Reader::open(Wire::PgCacheWatch, address, &[CHANNEL], None).await;
            match reader.said().await {
                Said::Ready { .. } => return reader,
                said => assert_eq!(said, Said::Closed(503, String::new())),
            }
        }
    })
    .await
}

/// The settings of a gateway on which new readers do not wait long.
pub const IMPATIENT: (&str, &str) = ("subscribe-timeout", "300ms");

/// New readers are refused on each transport because the database is away.
pub async fn newcomers_are_turned_away(address: SocketAddr) {
    let word = "source_unavailable".to_owned();
    let coming = Wire::ALL.map(|wire| async move {
        let mut reader = Reader::open(wire, address, &[CHANNEL], None).await;
        reader.said().await
    });
    let expected = [
        Said::Closed(1013, word.clone()),
        Said::Closed(200, word),
        Said::Closed(14, "the database cannot be reached now".into()),
        Said::Closed(503, String::new()),
    ];
    assert_eq!(join_all(coming).await, expected);
    let ready = crate::support::get(address, "/readyz", &[]).await;
    assert_eq!(ready.status, 503);
}
