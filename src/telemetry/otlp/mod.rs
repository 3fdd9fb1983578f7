//! OpenTelemetry, with the feature `otlp`: a span for each notification whose
//! payload says which trace it belongs to, and the metrics, over OTLP by gRPC.
//!
//! The gateway makes one span, a child of the payload's `traceparent` and sampled accordingly, and leaves the payload
//! unchanged: readers continue the trace. A collector that is slow, frozen or absent costs only spans, which are
//! counted: the code that makes them never waits, and each queue has a limit.
//!
//! The messages and the gRPC clients are those of `opentelemetry-proto`; the exporter is not the SDK's.
//! With `opentelemetry_sdk` and `opentelemetry-otlp` 0.33:
//! - A histogram that is counted elsewhere cannot be exported: the SDK has observable counters and
//!   gauges only, and the data that an exporter takes has private fields. Each delivery would have to be recorded a second time,
//!   on its way to the sockets.
//! - A batch whose connection breaks during the request is dropped, not retried: it ends with the gRPC
//!   code `Unknown`. A collector that restarts does that.
//! - `pgfan_spans_total` would be wrong: the exporter does not report how many spans the collector
//!   rejected, nor the batch processor how many it dropped.
//! - `OTEL_EXPORTER_OTLP_TRACES_HEADERS` and others are read too, and what is invalid is ignored.
//! - The propagator accepts a `traceparent` that breaks a rule, `00-…-01-` for example.

mod collector;
mod export;
mod numbers;
mod open;
mod parent;
mod refusal;
mod settings;
mod span;

use std::sync::Arc;

use tokio::{
    task::JoinSet,
    time::{Duration, Instant, timeout_at},
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::Metrics;

use self::{
    collector::Collector,
    export::{Health, SpanExporter},
    numbers::NumberExporter,
};
pub use self::{
    settings::{Endpoint, OtlpSettings},
    span::Traces,
};

/// Limit of the last export, within the drain time that is left: a collector that answers takes
/// some milliseconds.
const FLUSH: Duration = Duration::from_secs(5);

/// The tasks that export.
#[derive(Debug)]
pub struct Exporting {
    collector: Collector,
    /// None with `OTEL_METRICS_EXPORTER=none`.
    interval: Option<Duration>,
    tasks: JoinSet<()>,
    ending: CancellationToken,
}

impl OtlpSettings {
    /// Starts to export, and returns the maker of spans and the handle that ends it. If the machine's
    /// certificate authorities cannot be read, that is logged, and there is neither.
    pub fn begin(self) -> Option<(Traces, Exporting)> {
        let (address, interval) = (self.endpoint.0.clone(), self.interval);
        let collector = Collector::new(self)
            .inspect_err(|error| warn!(%error, "nothing is exported to the collector"))
            .ok()?;
        info!(%address, "exporting to the collector");
        let (traces, spans) = span::channel();
        let exporter = SpanExporter {
            collector: collector.clone(),
            spans,
            traces: traces.clone(),
            state: Health::of("spans"),
        };
        let ending = CancellationToken::new();
        let mut tasks = JoinSet::new();
        tasks.spawn(exporter.run(ending.clone()));
        let exporting = Exporting {
            collector,
            interval,
            tasks,
            ending,
        };
        Some((traces, exporting))
    }
}

impl Exporting {
    /// Exports these metrics too, from now on.
    pub fn add(&mut self, metrics: &Arc<Metrics>) {
        let Some(interval) = self.interval else {
            return;
        };
        let exporter = NumberExporter {
            collector: self.collector.clone(),
            metrics: Arc::clone(metrics),
            interval,
            state: Health::of("metrics"),
        };
        self.tasks.spawn(exporter.run(self.ending.clone()));
    }

    /// Exports the waiting spans and the last metrics, no longer than `limit`.
    pub async fn end(mut self, limit: Instant) {
        self.ending.cancel();
        let limit = limit.min(Instant::now() + FLUSH);
        let all = async { while self.tasks.join_next().await.is_some() {} };
        if timeout_at(limit, all).await.is_err() {
            warn!("the collector did not answer: what it was not given is lost");
        }
    }
}
