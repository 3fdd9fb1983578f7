//! OpenTelemetry: the whole gateway on a real PostgreSQL, and a collector that is
//! reachable, late, frozen, or missing.

#![allow(
    clippy::unwrap_used,
    missing_docs,
    unreachable_pub,
    reason = "a test binary has no public face, and fails by panicking"
)]

#[path = "../support/mod.rs"]
#[allow(
    dead_code,
    unused_imports,
    reason = "shared by all test binaries; each uses a part"
)]
mod support;

/// The collector of the spans.
mod collector;

/// The content of a span, and the notifications that get one.
mod spans;

/// Metrics export to a collector.
mod numbers;

/// Collectors that fail.
mod away;

/// A collector that is reached over TLS.
mod tls;

/// Credentials for the collector, which are not disclosed elsewhere.
mod secrets;

/// A payload that continues a trace, and its `n`.
fn traced(n: usize) -> String {
    let (trace, parent) = (n + 1, n + 7);
    format!(r#"{{"n": {n}, "traceparent": "00-{trace:032x}-{parent:016x}-01"}}"#)
}

/// A sample of `/metrics`.
async fn sample(gateway: &support::TestGateway, name: &str) -> f64 {
    let answer = gateway.get("/metrics").await;
    let text = String::from_utf8(answer.body.to_vec()).unwrap();
    let value = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value
        .unwrap_or_else(|| panic!("{name}: {text}"))
        .parse()
        .unwrap()
}

async fn exported(gateway: &support::TestGateway) -> f64 {
    sample(gateway, "pgfan_spans_total{result=\"exported\"}").await
}

async fn dropped(gateway: &support::TestGateway) -> f64 {
    sample(gateway, "pgfan_spans_total{result=\"dropped\"}").await
}
