//! `/metrics` and `/v1/status`: their numbers for readers and publishers of all
//! transports.

use std::collections::HashMap;

use pgfan::telemetry::METRICS;

use crate::support::{Database, Reader, Said, TestGateway, Wire, get, post, until};

/// The samples, by name and labels.
async fn scrape(gateway: &TestGateway) -> HashMap<String, f64> {
    let answer = gateway.get("/metrics").await;
    assert_eq!(answer.status, 200);
    let text = std::str::from_utf8(&answer.body).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let pairs = lines.map(|line| line.rsplit_once(' ').unwrap());
    pairs
        .map(|(name, value)| (name.to_owned(), value.parse().unwrap()))
        .collect()
}

const WIRES: [&str; 4] = ["websocket", "sse", "grpc", "pgcachewatch"];

#[tokio::test(flavor = "multi_thread")]
async fn what_happened_is_counted() {
    let database = Database::new().await;
    let gateway = TestGateway::with(&database, &[("allow-publish", "on")]).await;
    let mut readers = Vec::new();
    for wire in Wire::ALL {
        readers.push(gateway.reader(wire, "s3cret-name").await);
    }
    database.notify("s3cret-name", "1").await;
    let published = post(gateway.address, "/v1/channels/s3cret-name", "2").await;
    assert_eq!(published.status, 204);
    for reader in &mut readers {
        assert_eq!(reader.event().await.1, "1");
        assert_eq!(reader.event().await.1, "2");
    }
    let mut lost = Reader::open(Wire::Sse, gateway.address, &["s3cret-name"], Some("1-1")).await;
    let Said::Gap { reason, .. } = lost.said().await else {
        panic!("a gap was due")
    };
    assert_eq!(reason, "unknown_cursor");
    lost.ready().await;
    assert_eq!(gateway.get("/v1/sse").await.status, 400);
    // A FanoutWorker counts after writing, which the reader may see before.
    until("all deliveries are counted", || async {
        scrape(&gateway).await["pgfan_receipt_to_write_seconds_count"] == 8.0
    })
    .await;
    let seen = scrape(&gateway).await;
    for wire in WIRES {
        assert_eq!(
            seen[&format!("pgfan_deliveries_total{{wire=\"{wire}\"}}")],
            2.0
        );
        let readers = if wire == "sse" { 2.0 } else { 1.0 };
        assert_eq!(seen[&format!("pgfan_readers{{wire=\"{wire}\"}}")], readers);
    }
    for (sample, value) in [
        ("pgfan_ready", 1.0),
        ("pgfan_source_state{state=\"live\"}", 1.0),
        ("pgfan_source_state{state=\"interrupted\"}", 0.0),
        ("pgfan_source_sessions_total", 1.0),
        ("pgfan_source_interruptions_total", 0.0),
        ("pgfan_events_total", 2.0),
        ("pgfan_channels", 1.0),
        ("pgfan_log_events", 2.0),
        ("pgfan_gaps_total{reason=\"unknown_cursor\"}", 1.0),
        ("pgfan_gaps_total{reason=\"source_lost\"}", 0.0),
        ("pgfan_resumes_total{result=\"miss\"}", 1.0),
        ("pgfan_refusals_total{code=\"invalid_request\"}", 1.0),
        ("pgfan_publishes_total{result=\"published\"}", 1.0),
        ("pgfan_receipt_to_write_seconds_bucket{le=\"+Inf\"}", 8.0),
    ] {
        assert_eq!(seen[sample], value, "{sample}");
    }
    // Notifications of other tests are in the same queue.
    assert!(seen["pgfan_queue_usage_ratio"] < 0.01);
    assert!(seen["pgfan_log_bytes"] > 0.0);
    assert!(
        seen["pgfan_receipt_to_write_seconds_bucket{le=\"10.0\"}"] == 8.0,
        "{seen:?}"
    );
    drop(readers);
    until("they have left", || async {
        scrape(&gateway).await["pgfan_readers{wire=\"websocket\"}"] == 0.0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_metric_that_is_declared_is_there_and_no_channel() {
    let database = Database::new().await;
    let gateway = TestGateway::on(&database).await;
    let _reader = gateway.reader(Wire::Sse, "s3cret-name").await;
    let answer = gateway.get("/metrics").await;
    assert_eq!(
        answer.header("content-type"),
        "text/plain; version=0.0.4; charset=utf-8"
    );
    let text = String::from_utf8(answer.body.to_vec()).unwrap();
    // Without TLS these metrics do not exist.
    let is_there = |name: &str| !name.starts_with("pgfan_tls_");
    for metric in METRICS.iter().filter(|metric| is_there(metric.name)) {
        assert!(text.contains(&format!("\n{}", metric.name)), "{metric:?}");
        assert!(text.contains(&format!("# HELP {} {}\n", metric.name, metric.help)));
    }
    assert!(!text.contains("s3cret-name"), "{text}");
    let accept = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.3";
    let answer = get(gateway.address, "/metrics", &[("accept", accept)]).await;
    let text = String::from_utf8(answer.body.to_vec()).unwrap();
    assert!(
        answer
            .header("content-type")
            .starts_with("application/openmetrics-text")
    );
    assert!(
        text.contains("\n# TYPE pgfan_events counter\npgfan_events_total 0\n"),
        "{text}"
    );
    assert!(text.ends_with("\n# EOF\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_time_from_the_commit_is_seen_where_the_payload_tells_it() {
    let database = Database::new().await;
    let gateway = TestGateway::on(&database).await;
    let mut reader = gateway.reader(Wire::WebSocket, "a").await;
    let sql = "SELECT pg_notify('a', json_build_object('table', 't', 'sent_at', now())::text)";
    database.run(sql).await;
    assert!(reader.event().await.1.contains("sent_at"));
    database.notify("a", "plain").await;
    assert_eq!(reader.event().await.1, "plain");
    let seen = scrape(&gateway).await;
    assert_eq!(seen["pgfan_commit_to_receipt_seconds_count"], 1.0);
    let sum = seen["pgfan_commit_to_receipt_seconds_sum"];
    assert!(sum > 0.0 && sum < 20.0, "{sum}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_tells_the_same_in_the_contracts_words() {
    let database = Database::new().await;
    let gateway = TestGateway::on(&database).await;
    let mut crowd = Vec::new();
    for _ in 0..2 {
        crowd.push(gateway.reader(Wire::Sse, "crowded").await);
    }
    let mut reader = gateway.reader(Wire::Grpc, "one's \"own\"").await;
    database.notify("one's \"own\"", "1").await;
    assert_eq!(reader.event().await.1, "1");
    until("the delivery is counted", || async {
        gateway.get("/v1/status").await.json()["latency"]["count"] == 1
    })
    .await;
    let answer = gateway.get("/v1/status").await;
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(answer.header("cache-control"), "no-store");
    let status = answer.json();
    assert_eq!(status["ready"], true);
    assert_eq!(status["source"]["state"], "live");
    for time in [&status["source"]["since"], &status["now"]] {
        assert!(humantime::parse_rfc3339(time.as_str().unwrap()).is_ok());
    }
    let readers = serde_json::json!({"websocket": 0, "sse": 2, "grpc": 1, "pgcachewatch": 0});
    assert_eq!(status["readers"], readers);
    assert_eq!(status["deliveries"]["grpc"], 1);
    assert_eq!(status["events"], 1);
    assert_eq!(status["gaps"]["slow_reader"], 0);
    let channels = serde_json::json!([
        {"channel": "crowded", "readers": 2, "events": 0},
        {"channel": "one's \"own\"", "readers": 1, "events": 1},
    ]);
    assert_eq!(status["channels"], channels);
    assert_eq!(
        (&status["channel_count"], &status["more_channels"]),
        (&2.into(), &0.into())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_of_channels_is_told_as_a_number() {
    let database = Database::new().await;
    let gateway = TestGateway::with(&database, &[("max-channels-per-reader", "300")]).await;
    let names: Vec<_> = (0..203).map(|n| format!("c{n:03}")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let mut reader = Reader::open(Wire::Grpc, gateway.address, &names, None).await;
    reader.ready().await;
    let status = gateway.get("/v1/status").await.json();
    assert_eq!(status["channels"].as_array().unwrap().len(), 200);
    assert_eq!(status["channels"][0]["channel"], "c000");
    assert_eq!(
        (&status["channel_count"], &status["more_channels"]),
        (&203.into(), &3.into())
    );
}

/// Metrics that the alert rules and the dashboard use exist: otherwise a rule
/// would never fire.
#[test]
fn what_is_watched_is_there() {
    let texts = [
        include_str!("../../packaging/monitoring/alerts.yaml"),
        include_str!("../../packaging/monitoring/alerts.test.yaml"),
        include_str!("../../packaging/monitoring/dashboard.json"),
    ];
    for text in texts {
        let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let named: Vec<_> = words
            .filter(|word| word.starts_with("pgfan_") || word.starts_with("process_"))
            .collect();
        assert!(named.len() > 5, "{named:?}");
        for name in named {
            let family = name.strip_suffix("_bucket").unwrap_or(name);
            let is_there = METRICS.iter().any(|metric| metric.name == family);
            assert!(is_there, "{name}");
        }
    }
}

/// A readiness probe is not refused.
#[tokio::test(flavor = "multi_thread")]
async fn who_asks_whether_it_is_ready_is_refused_nothing() {
    let refused = "pgfan_refusals_total{code=\"source_unavailable\"}";
    // No server listens on port 1.
    let gateway = TestGateway::starting("postgres://127.0.0.1:1/none", &[]);
    assert_eq!(gateway.get("/readyz").await.status, 503);
    assert_eq!(scrape(&gateway).await[refused], 0.0);
}
