//! OpenTelemetry: the whole gateway on a real PostgreSQL, and a collector that is
//! there, late, frozen, or not there at all.

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

/// Who takes the spans.
mod collector;

/// What a span says, and of which notifications there is one.
mod spans;

/// The metrics, told to a collector.
mod numbers;

/// Collectors that do not do as they should.
mod away;

/// A collector that is reached over TLS.
mod tls;

/// What the collector asks for, and nobody else may know.
mod secrets;

/// A payload that goes on with a trace, and its `n`.
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
