//! Metrics and traces of a running gateway.

use std::sync::Arc;

use crate::{
    hub::Hub,
    source::{PostgresSource, QueueUsage},
    telemetry::{Exporting, Format, Metrics, OtlpSettings, SentAt, Traces},
    transport::{AdminPages, Admission, Tls},
};

/// Metrics and traces of a running gateway.
pub(super) struct Telemetry {
    metrics: Arc<Metrics>,
    queue_usage: QueueUsage,
    pub(super) sent_at: Arc<SentAt>,
    pub(super) traces: Option<Traces>,
    pub(super) exporting: Option<Exporting>,
}

impl Telemetry {
    pub(super) fn begin(
        hub: &Hub,
        source: &PostgresSource,
        admission: &Admission,
        tls: Option<Tls>,
        otlp: Option<OtlpSettings>,
    ) -> Self {
        let sent_at = Arc::new(SentAt::default());
        let (traces, mut exporting) = otlp.and_then(OtlpSettings::begin).unzip();
        let metrics = Arc::new(Metrics::new(
            hub.clone(),
            (source.counters(), source.queue_usage()),
            admission.clone(),
            tls,
            Arc::clone(&sent_at),
            traces.clone(),
        ));
        if let Some(exporting) = &mut exporting {
            exporting.add(&metrics);
        }
        Self {
            metrics,
            queue_usage: source.queue_usage(),
            sent_at,
            traces,
            exporting,
        }
    }

    /// Pages whose content comes from outside the transports.
    pub(super) fn pages(&self) -> AdminPages {
        let metrics = Arc::clone(&self.metrics);
        let queue_usage = self.queue_usage.clone();
        AdminPages {
            queue_usage: Arc::new(move || queue_usage.get()),
            metrics: Arc::new(move |accept| {
                let format = Format::of_accept(accept);
                (format.content_type(), metrics.text(format))
            }),
        }
    }
}
