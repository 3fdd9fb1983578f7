use std::collections::{BTreeMap, BTreeSet};

use opentelemetry_proto::tonic::metrics::v1::{
    Metric, NumberDataPoint, metric::Data, number_data_point::Value,
};
use pgfan::telemetry::METRICS;

use crate::{
    collector::{Collector, attribute},
    support::{
        Database, Reader, Wire,
        gateway_process::{GatewayProcess, libpq_variables, pgfan},
        get,
    },
};

async fn gateway(database: &Database, collector: &Collector, interval: &str) -> GatewayProcess {
    let mut command = pgfan();
    command.envs(libpq_variables(&database.url));
    command.env("OTEL_METRIC_EXPORT_INTERVAL", interval);
    command.args(["serve", "--otlp-endpoint", &collector.url()]);
    let gateway = GatewayProcess::serve(&mut command).await;
    gateway.ready().await;
    gateway
}

fn points(metric: &Metric) -> &[NumberDataPoint] {
    match metric.data.as_ref().unwrap() {
        Data::Sum(sum) => {
            assert!(
                sum.is_monotonic && sum.aggregation_temporality == 2,
                "{metric:?}"
            );
            &sum.data_points
        }
        Data::Gauge(gauge) => &gauge.data_points,
        _ => &[],
    }
}

fn number(point: &NumberDataPoint) -> f64 {
    match point.value {
        Some(Value::AsInt(number)) => number as f64,
        Some(Value::AsDouble(number)) => number,
        None => panic!("{point:?}"),
    }
}

/// The samples in Prometheus's form, histograms as their count and sum.
fn samples(metrics: &[Metric]) -> BTreeMap<String, f64> {
    let mut samples = BTreeMap::new();
    for metric in metrics {
        for point in points(metric) {
            let labels = point.attributes.iter();
            let labels = labels.map(|label| {
                format!(
                    "{{{}=\"{}\"}}",
                    label.key,
                    attribute(&point.attributes, &label.key)
                )
            });
            samples.insert(
                metric.name.clone() + &labels.collect::<String>(),
                number(point),
            );
        }
        if let Some(Data::Histogram(histogram)) = &metric.data {
            let [point] = histogram.data_points.as_slice() else {
                panic!("{metric:?}")
            };
            assert_eq!(point.bucket_counts.len(), point.explicit_bounds.len() + 1);
            assert_eq!(point.bucket_counts.iter().sum::<u64>(), point.count);
            samples.insert(format!("{}_count", metric.name), point.count as f64);
            samples.insert(format!("{}_sum", metric.name), point.sum.unwrap());
        }
    }
    samples
}

/// The samples of the text format, without buckets.
async fn scraped(gateway: &GatewayProcess) -> BTreeMap<String, f64> {
    let answer = get(gateway.address, "/metrics", &[]).await;
    let text = String::from_utf8(answer.body.to_vec()).unwrap();
    let lines = text
        .lines()
        .filter(|line| !line.starts_with('#') && !line.contains("_bucket"));
    let pairs = lines.map(|line| line.rsplit_once(' ').unwrap());
    pairs
        .map(|(name, value)| (name.to_owned(), value.parse().unwrap()))
        .collect()
}

/// The same names and labels in both, and the same numbers, if these do not
/// change meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn they_are_those_that_prometheus_gets() {
    let (database, collector) = (Database::new().await, Collector::start().await);
    let gateway = gateway(&database, &collector, "100").await;
    let mut reader = Reader::open(Wire::Sse, gateway.address, &["a"], None).await;
    reader.ready().await;
    database.notify_range("a", 1, 3).await;
    reader.payloads(3).await;
    let written = |metrics: &[Metric]| samples(metrics)["pgfan_receipt_to_write_seconds_count"];
    let told = collector
        .metrics_that(|metrics| written(metrics) == 3.0)
        .await;
    let names: BTreeSet<_> = told.iter().map(|metric| metric.name.as_str()).collect();
    // A gateway without TLS has no certificate, and so no sample of that metric.
    let has_samples = |name: &&str| !name.starts_with("pgfan_tls_");
    let expected = METRICS.iter().map(|metric| metric.name);
    assert_eq!(names, expected.filter(has_samples).collect());
    for metric in METRICS.iter().filter(|metric| has_samples(&metric.name)) {
        let told = told.iter().find(|told| told.name == metric.name).unwrap();
        assert_eq!(told.description, metric.help);
    }
    let (told, scraped) = (samples(&told), scraped(&gateway).await);
    assert!(told.keys().eq(scraped.keys()), "{told:?}\n{scraped:?}");
    for (name, value) in &told {
        // The process continues, and so do other tests on the same server.
        if !name.starts_with("process_") && name != "pgfan_queue_usage_ratio" {
            assert_eq!(scraped[name], *value, "{name}");
        }
    }
    assert_eq!(told["pgfan_events_total"], 3.0);
    assert_eq!(told["pgfan_deliveries_total{wire=\"sse\"}"], 3.0);
}

/// So the last interval is not lost.
#[tokio::test(flavor = "multi_thread")]
async fn the_last_ones_are_exported_at_the_end() {
    let (database, collector) = (Database::new().await, Collector::start().await);
    let gateway = gateway(&database, &collector, "3600000").await;
    let mut reader = Reader::open(Wire::Grpc, gateway.address, &["a"], None).await;
    reader.ready().await;
    database.notify("a", "1").await;
    reader.payloads(1).await;
    assert_eq!(collector.metrics().len(), 0);
    gateway.stop().await;
    let [last] = collector.metrics().try_into().unwrap();
    assert_eq!(samples(&last)["pgfan_events_total"], 1.0);
}
