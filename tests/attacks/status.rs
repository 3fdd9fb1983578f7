use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use crate::{
    PROCESSOR,
    besieged::Besieged,
    support::{Said, WebSocket, get},
    tokens::{SECRET, now, with_claims},
};

const ASKED: usize = 200;

/// Readers that together have nearly the default limit of channels, with a rest
/// for the others.
const READERS: usize = 78;
const OF_ONE: usize = 128;

const FLAGS: [&str; 5] = [
    "--anonymous",
    "--token-secret",
    SECRET,
    "--max-channels-per-client",
    "10000",
];

fn bearer(pgfan: &serde_json::Value) -> String {
    let claims = json!({"sub": "who asks", "exp": now() + 3600, "pgfan": pgfan});
    format!("Bearer {}", with_claims(&claims))
}

/// CPU time of one evaluation of the patterns for all channels, in a build for
/// tests. There is one a second, however many requests ask for it.
const EVALUATION: Duration = Duration::from_millis(150);

/// The CPU time that these requests cost the gateway, without the evaluations that
/// it may make while they are sent.
async fn cost(besieged: &Besieged, bearer: &str) -> Duration {
    let before = besieged.spent().await;
    let begun = Instant::now();
    for _ in 0..ASKED {
        let headers = [("authorization", bearer)];
        let answer = get(besieged.address(), "/v1/status", &headers).await;
        assert_eq!(answer.status, 200);
    }
    let evaluations = u32::try_from(begun.elapsed().as_secs()).unwrap() + 1;
    (besieged.spent().await - before).saturating_sub(EVALUATION * evaluations)
}

async fn subscribe(besieged: &Besieged, reader: usize) -> WebSocket {
    let names: Vec<_> = (0..OF_ONE)
        .map(|n| format!("channel={reader}.{n}"))
        .collect();
    let path = format!("/v1/ws?{}", names.join("&"));
    let mut socket = WebSocket::open(besieged.address(), &path).await.unwrap();
    assert!(matches!(socket.said().await, Said::Ready { .. }));
    socket
}

/// With ten thousand channels a status request is no more expensive, nor with a
/// token of many patterns.
#[tokio::test(flavor = "multi_thread")]
async fn a32_a_status_costs_as_much_with_ten_thousand_channels() {
    let _alone = PROCESSOR.lock().await;
    let besieged = Besieged::with(&FLAGS).await;
    let patterns: Vec<_> = (0..100).map(|n| format!("none.{n}")).collect();
    let bearer = bearer(&json!({"subscribe": patterns}));
    let without = cost(&besieged, &bearer).await;
    let mut readers = Vec::new();
    for reader in 0..READERS {
        readers.push(subscribe(&besieged, reader).await);
    }
    let with = cost(&besieged, &bearer).await;
    eprintln!(
        "{ASKED} asks: {without:?} without channels, {with:?} with {}",
        READERS * OF_ONE
    );
    assert!(
        with <= 2 * without + Duration::from_millis(500),
        "{without:?} {with:?}"
    );
    drop(readers);
    besieged.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a32_a_token_that_grants_nothing_is_told_nothing() {
    let besieged = Besieged::with(&FLAGS).await;
    for (rights, status) in [
        (json!({}), 403),
        (json!({"subscribe": [], "publish": []}), 403),
        (json!({"subscribe": ["a"]}), 200),
        (json!({"publish": ["a"]}), 200),
        (json!({"metrics": true}), 200),
    ] {
        let bearer = bearer(&rights);
        let headers = [("authorization", bearer.as_str())];
        let answer = get(besieged.address(), "/v1/status", &headers).await;
        assert_eq!(answer.status, status, "{rights}");
        if status == 403 {
            assert_eq!(answer.code(), "forbidden");
        }
    }
    besieged.gateway.stop().await;
}
