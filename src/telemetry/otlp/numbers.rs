//! The metrics in OTLP's messages, with the names and labels of the Prometheus text, so that the same
//! queries and alerts serve for both.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use opentelemetry_proto::tonic::{
    collector::metrics::v1::{
        ExportMetricsServiceRequest, metrics_service_client::MetricsServiceClient,
    },
    common::v1::any_value::Value as Text,
    metrics::v1::{
        AggregationTemporality, Gauge, Histogram, HistogramDataPoint, Metric as Message,
        NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, metric::Data,
        number_data_point::Value,
    },
};
use tokio::{select, time::sleep};
use tokio_util::sync::CancellationToken;

use super::{
    collector::{Collector, MAX_ANSWER},
    export::{Health, in_time, scope},
    span::{attribute, nanoseconds},
};
use crate::{
    instruments::{BOUNDS, HistogramSnapshot},
    telemetry::{
        Metric, Metrics,
        metrics::Kind,
        samples::{Label, Number, Samples},
    },
};

/// Task that exports the metrics at an interval.
pub(super) struct NumberExporter {
    pub(super) collector: Collector,
    pub(super) metrics: Arc<Metrics>,
    pub(super) interval: Duration,
    pub(super) state: Health,
}

impl NumberExporter {
    /// Exports once an interval, and once more at the end. An export that fails is not repeated: all
    /// values are cumulative, so the next one includes it.
    pub(super) async fn run(mut self, ending: CancellationToken) {
        let mut turns = Turns {
            interval: self.interval,
            ending,
            was_last: false,
        };
        while turns.next().await {
            self.export().await;
        }
    }

    async fn export(&mut self) {
        let mut client = MetricsServiceClient::new(self.collector.channel())
            .max_decoding_message_size(MAX_ANSWER);
        let request = self.collector.request(self.request());
        match in_time(client.export(request)).await {
            Ok(_) => self.state.good(),
            Err(status) => self.state.failed(&status),
        }
    }

    fn request(&self) -> ExportMetricsServiceRequest {
        let scope_metrics = vec![ScopeMetrics {
            scope: Some(scope()),
            metrics: messages(&self.metrics, SystemTime::now()),
            ..ScopeMetrics::default()
        }];
        let resource_metrics = vec![ResourceMetrics {
            resource: Some(self.collector.resource()),
            scope_metrics,
            ..ResourceMetrics::default()
        }];
        ExportMetricsServiceRequest { resource_metrics }
    }
}

/// When the metrics are exported.
struct Turns {
    interval: Duration,
    ending: CancellationToken,
    was_last: bool,
}

impl Turns {
    /// Waits for the next; false after the last. If the end comes during an export, one more follows,
    /// since that one has the values of before.
    async fn next(&mut self) -> bool {
        if self.was_last {
            return false;
        }
        select! {
            () = sleep(self.interval) => {}
            () = self.ending.cancelled() => self.was_last = true,
        }
        true
    }
}

fn messages(metrics: &Metrics, now: SystemTime) -> Vec<Message> {
    let (start, time) = (nanoseconds(metrics.began()), nanoseconds(now));
    let mut messages = Vec::new();
    metrics.look(|metric, read| {
        let mut points = Points {
            start,
            time,
            numbers: Vec::new(),
            spreads: Vec::new(),
        };
        read(&mut points);
        messages.extend(points.message(metric));
    });
    messages
}

/// The data points of one metric, since the gateway started.
struct Points {
    start: u64,
    time: u64,
    numbers: Vec<NumberDataPoint>,
    spreads: Vec<HistogramDataPoint>,
}

impl Samples for Points {
    fn sample(&mut self, label: Option<Label<'_>>, value: Number) {
        let text = |(name, word): Label<'_>| attribute(name, Text::StringValue(word.into()));
        let value = match value {
            Number::Whole(number) => Value::AsInt(number.try_into().unwrap_or(i64::MAX)),
            Number::Real(number) => Value::AsDouble(number),
        };
        self.numbers.push(NumberDataPoint {
            attributes: label.map(text).into_iter().collect(),
            start_time_unix_nano: self.start,
            time_unix_nano: self.time,
            value: Some(value),
            ..NumberDataPoint::default()
        });
    }

    /// In OTLP a bucket does not include the ones below it.
    fn spread(&mut self, spread: &HistogramSnapshot) {
        let up_to = spread.within.iter().chain([&spread.count]);
        let below = [0].iter().chain(&spread.within);
        let buckets = up_to.zip(below).map(|(count, below)| count - below);
        self.spreads.push(HistogramDataPoint {
            start_time_unix_nano: self.start,
            time_unix_nano: self.time,
            count: spread.count,
            sum: Some(spread.sum.as_secs_f64()),
            bucket_counts: buckets.collect(),
            explicit_bounds: BOUNDS.iter().map(|bound| *bound as f64 / 1e6).collect(),
            ..HistogramDataPoint::default()
        });
    }
}

impl Points {
    /// A metric without a sample is left out.
    fn message(self, metric: &Metric) -> Option<Message> {
        if self.numbers.is_empty() && self.spreads.is_empty() {
            return None;
        }
        let aggregation_temporality = AggregationTemporality::Cumulative.into();
        let data = match metric.kind {
            Kind::Counter => Data::Sum(Sum {
                data_points: self.numbers,
                aggregation_temporality,
                is_monotonic: true,
            }),
            Kind::Gauge => Data::Gauge(Gauge {
                data_points: self.numbers,
            }),
            Kind::Histogram => Data::Histogram(Histogram {
                data_points: self.spreads,
                aggregation_temporality,
            }),
        };
        Some(Message {
            name: metric.name.to_owned(),
            description: metric.help.to_owned(),
            unit: unit(metric.name).to_owned(),
            data: Some(data),
            ..Message::default()
        })
    }
}

/// UCUM's unit, from the end of the name.
fn unit(name: &str) -> &'static str {
    match name.trim_end_matches("_total") {
        name if name.ends_with("_seconds") => "s",
        name if name.ends_with("_bytes") => "By",
        _ => "1",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_end_while_one_is_exported_is_followed_by_the_last() {
        let ending = CancellationToken::new();
        let mut turns = Turns {
            interval: Duration::from_secs(60),
            ending: ending.clone(),
            was_last: false,
        };
        assert!(turns.next().await && turns.next().await);
        ending.cancel();
        assert!(turns.next().await);
        assert!(!turns.next().await);
    }
}
