//! Exports spans to the collector as they end, in batches.

use std::{future::Future, sync::atomic::Ordering, time::Duration};

use opentelemetry_proto::tonic::{
    collector::trace::v1::{ExportTraceServiceRequest, trace_service_client::TraceServiceClient},
    common::v1::InstrumentationScope,
    trace::v1::{ResourceSpans, ScopeSpans, Span},
};
use tokio::{
    select,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Response, Status};
use tracing::{info, warn};

use super::{
    collector::Collector,
    refusal::retry_after,
    span::{Spans, Traces},
};
use crate::backoff::Backoff;

/// Spans in one request, as in the SDKs: below 1 MB, and a collector takes 4.
const BATCH: usize = 512;

/// How long the first span of a batch waits for others.
const DELAY: Duration = Duration::from_secs(1);

/// Timeout of one request, OpenTelemetry's own default. Then it is tried again.
const TIME_LIMIT: Duration = Duration::from_secs(10);

/// How long one batch is tried, as the collector's own exporters have it
/// (`max_elapsed_time`): enough for a restart, and one that is never taken holds up the
/// others no longer.
const PATIENCE: Duration = Duration::from_secs(300);

/// Task that takes spans from the queue and exports them.
pub(super) struct SpanExporter {
    pub(super) collector: Collector,
    pub(super) spans: Spans,
    pub(super) traces: Traces,
    pub(super) state: Health,
}

impl SpanExporter {
    /// Runs until `ending`; then exports the spans that wait, with one try for each batch, up to the
    /// first that fails.
    pub(super) async fn run(mut self, ending: CancellationToken) {
        let mut batch = Vec::with_capacity(BATCH);
        while !ending.is_cancelled() {
            select! {
                () = fill(&mut self.spans, &mut batch) => {}
                () = ending.cancelled() => break,
            }
            self.hand_over(&mut batch, &ending).await;
        }
        loop {
            while batch.len() < BATCH
                && let Ok(span) = self.spans.try_recv()
            {
                batch.push(span);
            }
            if batch.is_empty() || self.export(&batch).await.is_err() {
                break;
            }
            batch.clear();
        }
        let left = batch.len() + self.spans.len();
        if left > 0 {
            warn!(
                spans = left,
                "the collector was not there at the end: they are lost"
            );
        }
    }

    /// Tries until the batch is taken, refused or given up, or the shutdown begins. Meanwhile the
    /// queue fills, and then spans are dropped.
    async fn hand_over(&mut self, batch: &mut Vec<Span>, ending: &CancellationToken) {
        let mut backoff = Backoff::default();
        let limit = Instant::now() + PATIENCE;
        while let Err(Retry(delay)) = self.export(batch).await {
            if Instant::now() >= limit {
                let dropped = &self.traces.counts.dropped;
                dropped.fetch_add(batch.len() as u64, Ordering::Relaxed);
                break;
            }
            select! {
                () = sleep(backoff.next(fastrand::f64()).max(delay)) => {}
                () = ending.cancelled() => return,
            }
        }
        batch.clear();
    }

    async fn export(&mut self, batch: &[Span]) -> Result<(), Retry> {
        let mut client = TraceServiceClient::new(self.collector.channel())
            .max_decoding_message_size(super::collector::MAX_ANSWER);
        let request = self.collector.request(self.request(batch.to_vec()));
        let counts = &self.traces.counts;
        let all = batch.len() as u64;
        let rejected = match in_time(client.export(request)).await {
            Ok(answer) => {
                self.state.good();
                let partial = answer.into_inner().partial_success;
                let rejected = partial.map_or(0, |partial| partial.rejected_spans);
                u64::try_from(rejected).unwrap_or(0).min(all)
            }
            Err(status) => {
                self.state.failed(&status);
                if let Some(delay) = retry_after(&status) {
                    return Err(Retry(delay));
                }
                all
            }
        };
        counts.dropped.fetch_add(rejected, Ordering::Relaxed);
        counts.exported.fetch_add(all - rejected, Ordering::Relaxed);
        Ok(())
    }

    fn request(&self, spans: Vec<Span>) -> ExportTraceServiceRequest {
        let scope_spans = vec![ScopeSpans {
            scope: Some(scope()),
            spans,
            ..ScopeSpans::default()
        }];
        let resource_spans = vec![ResourceSpans {
            resource: Some(self.collector.resource()),
            scope_spans,
            ..ResourceSpans::default()
        }];
        ExportTraceServiceRequest { resource_spans }
    }
}

/// Waits for a full batch, or for `DELAY` after the first span. Cancel-safe.
async fn fill(spans: &mut Spans, batch: &mut Vec<Span>) {
    let more = async |spans: &mut Spans, batch: &mut Vec<Span>| {
        let room = BATCH - batch.len();
        if spans.recv_many(batch, room).await == 0 {
            std::future::pending::<()>().await;
        }
    };
    if batch.is_empty() {
        more(spans, batch).await;
    }
    let filling = async {
        while batch.len() < BATCH {
            more(spans, batch).await;
        }
    };
    let _ = timeout(DELAY, filling).await;
}

pub(super) fn scope() -> InstrumentationScope {
    InstrumentationScope {
        name: "pgfan".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..InstrumentationScope::default()
    }
}

/// The timeout is for the whole answer, not for its head alone.
pub(super) async fn in_time<T>(
    answer: impl Future<Output = Result<Response<T>, Status>>,
) -> Result<Response<T>, Status> {
    let late = |_| Err(Status::deadline_exceeded("no answer"));
    timeout(TIME_LIMIT, answer).await.unwrap_or_else(late)
}

/// The batch was not taken, and may be after this time.
struct Retry(Duration);

/// Result of the last export, so that a change is logged once.
#[derive(Debug)]
pub(super) struct Health {
    what: &'static str,
    failed: Option<Code>,
}

impl Health {
    pub(super) fn of(what: &'static str) -> Self {
        Self { what, failed: None }
    }

    pub(super) fn good(&mut self) {
        if self.failed.take().is_some() {
            info!(what = self.what, "the collector takes them again");
        }
    }

    /// Logs the code alone: the text comes from the collector, and may repeat the headers.
    pub(super) fn failed(&mut self, status: &Status) {
        let code = status.code();
        if self.failed.replace(code) != Some(code) {
            warn!(what = self.what, ?code, "the collector does not take them");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::{OtlpSettings, otlp::span};

    #[tokio::test(start_paused = true)]
    async fn a_batch_that_is_never_taken_holds_up_the_others_for_some_minutes() {
        let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", nobody.local_addr().unwrap());
        drop(nobody);
        let settings = OtlpSettings::read(endpoint.parse().unwrap(), &|_| None, |_, _, _| {});
        let (traces, spans) = span::channel();
        let mut exporter = SpanExporter {
            collector: Collector::new(settings).unwrap(),
            spans,
            traces: traces.clone(),
            state: Health::of("spans"),
        };
        let (mut batch, began) = (vec![Span::default(); 3], Instant::now());
        exporter
            .hand_over(&mut batch, &CancellationToken::new())
            .await;
        let took = began.elapsed();
        assert!(
            took >= PATIENCE && took <= PATIENCE + TIME_LIMIT + Backoff::MAX,
            "{took:?}"
        );
        assert_eq!((batch.len(), traces.totals()), (0, [0, 3]));
    }
}
