//! All metrics: name, help text and source of the value. The layers count, and
//! do not depend on this module.
//!
//! Labels have few values, all of them constants of pgfan: never a channel,
//! since a client could create any number of them, and their names are private.

use std::{fmt, sync::Arc, time::SystemTime};

use super::{
    SentAt, Traces,
    exposition::{Format, write},
    process::Process,
    samples::Samples,
};
use crate::{
    event::{GapReason, WIRES, WireName},
    hub::{self, Hub, SourceView},
    instruments::HistogramSnapshot,
    source,
    transport::{self, Admission, CODES, Code, Tls},
};

/// One metric; its name ends with its unit, by Prometheus' convention.
pub struct Metric {
    /// As in `pgfan_events_total`.
    pub name: &'static str,
    pub(super) kind: Kind,
    /// One line of help text.
    pub help: &'static str,
    read: fn(&Seen, &mut dyn Samples),
}

impl fmt::Debug for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Counter,
    Gauge,
    Histogram,
}

impl Kind {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// Values for one answer; each source is read once.
struct Seen {
    hub: hub::View,
    source: source::Totals,
    queue_usage: Option<f64>,
    transport: transport::Totals,
    commit_to_receipt: HistogramSnapshot,
    spans: [u64; 2],
    /// Expiry time of the port's certificate.
    certificate: Option<SystemTime>,
    process: Process,
    began: SystemTime,
}

/// Sources of the values.
#[derive(Debug)]
pub struct Metrics {
    hub: Hub,
    source: source::Counters,
    queue_usage: source::QueueUsage,
    admission: Admission,
    tls: Option<Tls>,
    sent_at: Arc<SentAt>,
    traces: Option<Traces>,
    began: SystemTime,
}

impl Metrics {
    /// Metrics of a gateway that starts now.
    pub fn new(
        hub: Hub,
        (source, queue_usage): (source::Counters, source::QueueUsage),
        admission: Admission,
        tls: Option<Tls>,
        sent_at: Arc<SentAt>,
        traces: Option<Traces>,
    ) -> Self {
        Self {
            hub,
            source,
            queue_usage,
            admission,
            tls,
            sent_at,
            traces,
            began: SystemTime::now(),
        }
    }

    /// All metrics at this moment.
    pub fn text(&self, format: Format) -> String {
        let mut text = String::with_capacity(16 << 10);
        self.look(|metric, read| write(&mut text, format, metric, read));
        if format == Format::OpenMetrics {
            text.push_str("# EOF\n");
        }
        text
    }

    /// Passes each metric with a writer of its samples, all of one moment.
    pub(super) fn look(&self, mut take: impl FnMut(&Metric, &dyn Fn(&mut dyn Samples))) {
        let seen = Seen {
            hub: self.hub.view(),
            source: self.source.totals(),
            queue_usage: self.queue_usage.get(),
            transport: self.admission.totals(),
            commit_to_receipt: self.sent_at.spread(),
            spans: self.traces.as_ref().map_or([0; 2], Traces::totals),
            certificate: self.tls.as_ref().and_then(Tls::expires),
            process: Process::now(),
            began: self.began,
        };
        for metric in METRICS {
            take(metric, &|out| (metric.read)(&seen, out));
        }
    }

    /// Start time of the counters.
    #[cfg(feature = "otlp")]
    pub(super) fn began(&self) -> SystemTime {
        self.began
    }
}

fn wires<T>(numbers: [T; WIRES]) -> impl Iterator<Item = (&'static str, T)> {
    WireName::ALL.map(WireName::as_str).into_iter().zip(numbers)
}

fn codes(numbers: [u64; CODES]) -> impl Iterator<Item = (&'static str, u64)> {
    Code::ALL.map(Code::as_str).into_iter().zip(numbers)
}

fn of_code(seen: &Seen, code: Code) -> u64 {
    seen.transport.refusals[code as usize]
}

const fn counter(
    name: &'static str,
    help: &'static str,
    read: fn(&Seen, &mut dyn Samples),
) -> Metric {
    Metric {
        name,
        kind: Kind::Counter,
        help,
        read,
    }
}

const fn gauge(
    name: &'static str,
    help: &'static str,
    read: fn(&Seen, &mut dyn Samples),
) -> Metric {
    Metric {
        name,
        kind: Kind::Gauge,
        help,
        read,
    }
}

const fn histogram(
    name: &'static str,
    help: &'static str,
    read: fn(&Seen, &mut dyn Samples),
) -> Metric {
    Metric {
        name,
        kind: Kind::Histogram,
        help,
        read,
    }
}

/// In the order of the output.
pub const METRICS: &[Metric] = &[
    gauge(
        "pgfan_build_info",
        "Always 1; the labels say what runs.",
        |_, out| out.each("version", [(env!("CARGO_PKG_VERSION"), 1u8)]),
    ),
    gauge(
        "pgfan_ready",
        "1 while the gateway does all it is there for, as /readyz says: the source is live, \
         the notification queue has room, and it is not shutting down.",
        |seen, out| out.one(u8::from(seen.hub.is_ready)),
    ),
    gauge(
        "pgfan_source_state",
        "1 for the state that the source is in, 0 for the others.",
        |seen, out| {
            let is = |state| u8::from(seen.hub.source.0 == state);
            out.each(
                "state",
                SourceView::ALL.map(|state| (state.as_str(), is(state))),
            );
        },
    ),
    gauge(
        "pgfan_source_state_since_seconds",
        "When the source came into its state, in seconds since 1970.",
        |seen, out| out.one(since_1970(seen.hub.source.1)),
    ),
    counter(
        "pgfan_source_interruptions_total",
        "How often the source was lost, or suspect, after it had been live: each is a gap for \
         every reader.",
        |seen, out| out.one(seen.hub.interruptions),
    ),
    counter(
        "pgfan_source_sessions_total",
        "Listening sessions opened: the first, and one for each reconnect.",
        |seen, out| out.one(seen.source.sessions),
    ),
    counter(
        "pgfan_source_connect_failures_total",
        "Attempts to open a listening session that failed.",
        |seen, out| out.one(seen.source.failures),
    ),
    gauge(
        "pgfan_queue_usage_ratio",
        "How full the cluster's notification queue is, 0 to 1, looked at every 5 s: at 1 every \
         transaction that notifies fails. Missing while it is unknown.",
        |seen, out| out.known(seen.queue_usage),
    ),
    counter(
        "pgfan_events_total",
        "Notifications of channels that are listened to.",
        |seen, out| out.one(seen.hub.events),
    ),
    counter(
        "pgfan_unclaimed_notifications_total",
        "Notifications dropped, since their channel was not, or not yet, listened to for a \
         reader.",
        |seen, out| out.one(seen.hub.unmatched),
    ),
    counter(
        "pgfan_deliveries_total",
        "Events given to readers, by wire: written to a socket or an HTTP/2 stream, or about \
         to be.",
        |seen, out| out.each("wire", wires(seen.hub.deliveries)),
    ),
    gauge(
        "pgfan_readers",
        "Readers there are, by wire.",
        |seen, out| out.each("wire", wires(seen.hub.readers)),
    ),
    gauge(
        "pgfan_channels",
        "Channels listened to or asked for, those among them whose last reader left not long \
         ago.",
        |seen, out| out.one(seen.hub.channels),
    ),
    counter(
        "pgfan_gaps_total",
        "Gaps given to readers, by reason: one for each reader.",
        |seen, out| {
            let reasons = GapReason::ALL.map(GapReason::as_str);
            out.each("reason", reasons.into_iter().zip(seen.hub.gaps));
        },
    ),
    counter(
        "pgfan_resumes_total",
        "Cursors handed in: hit, and all that was missed followed; or miss, and it was a gap.",
        |seen, out| out.each("result", ["hit", "miss"].into_iter().zip(seen.hub.resumes)),
    ),
    counter(
        "pgfan_slow_readers_total",
        "Readers that did not keep up: overtaken by the log and given a gap, or closed, since \
         they took nothing or answered no ping for --write-timeout.",
        |seen, out| {
            let gaps = seen.hub.gaps[GapReason::SlowReader as usize];
            let closed = of_code(seen, Code::WriteTimeout);
            out.each("outcome", [("gap", gaps), ("closed", closed)]);
        },
    ),
    counter(
        "pgfan_refusals_total",
        "Requests refused and streams ended by the gateway, by the code that the client was \
         told.",
        |seen, out| out.each("code", codes(seen.transport.refusals)),
    ),
    counter(
        "pgfan_publishes_total",
        "Notifications of clients that the database was asked for: published, or failed, or \
         perhaps failed. Those that were refused before are among the refusals.",
        |seen, out| {
            let totals = &seen.transport;
            let results = [
                ("published", totals.published),
                ("failed", totals.not_published),
            ];
            out.each("result", results);
        },
    ),
    histogram(
        "pgfan_receipt_to_write_seconds",
        "From the receipt of a notification to its write to each reader that was there. \
         Measured once for up to 256 readers, or for all that one reader takes at once: each \
         of these deliveries counts as late as the last, and as if all were of the oldest \
         event. What a full socket keeps a slow reader waiting is not in it.",
        |seen, out| out.spread(&seen.hub.latency),
    ),
    histogram(
        "pgfan_commit_to_receipt_seconds",
        "From `sent_at` in the payload, where it is JSON and has one (PGCacheWatch and pgfan \
         triggers: the beginning of the transaction), to receipt, of one notification in each \
         batch that came at once. It holds the difference of the two clocks too.",
        |seen, out| out.spread(&seen.commit_to_receipt),
    ),
    counter(
        "pgfan_spans_total",
        "Spans of traced notifications, where --otlp-endpoint is set: exported, or dropped, since \
         a queue was full, or the collector refused them or never took them.",
        |seen, out| {
            out.each(
                "result",
                ["exported", "dropped"].into_iter().zip(seen.spans),
            )
        },
    ),
    gauge("pgfan_log_events", "Events in the log.", |seen, out| {
        out.one(seen.hub.log_events)
    }),
    gauge(
        "pgfan_log_bytes",
        "What the events of the log take, with what the wires have made of them; at most \
         --history-bytes.",
        |seen, out| out.one(seen.hub.log_bytes),
    ),
    gauge(
        "pgfan_tls_certificate_expiry_timestamp_seconds",
        "When the certificate that is served expires, in seconds since 1970. Missing without \
         --tls-cert.",
        |seen, out| out.known(seen.certificate.map(since_1970)),
    ),
    counter(
        "process_cpu_seconds_total",
        "User and system time of the process.",
        |seen, out| out.one(seen.process.cpu.as_secs_f64()),
    ),
    gauge(
        "process_resident_memory_bytes",
        "Memory of the process.",
        |seen, out| out.known(seen.process.resident),
    ),
    gauge(
        "process_open_fds",
        "File descriptors of the process: one for each connection.",
        |seen, out| out.known(seen.process.open_files),
    ),
    gauge("process_max_fds", "How many it may have.", |seen, out| {
        out.known(seen.process.max_files)
    }),
    gauge(
        "process_start_time_seconds",
        "When the gateway began, in seconds since 1970.",
        |seen, out| out.one(since_1970(seen.began)),
    ),
];

fn since_1970(time: SystemTime) -> f64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    since.unwrap_or_default().as_secs_f64()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    /// Rules of <https://prometheus.io/docs/practices/naming/>.
    #[test]
    fn each_is_declared_as_it_should_be() {
        let mut names = HashSet::new();
        for Metric {
            name, kind, help, ..
        } in METRICS
        {
            assert!(names.insert(name), "{name} stands there twice");
            assert!(
                name.starts_with("pgfan_") || name.starts_with("process_"),
                "{name}"
            );
            assert_eq!(name.ends_with("_total"), *kind == Kind::Counter, "{name}");
            let is_line = help.ends_with('.') && !help.contains(['\\', '\n']);
            assert!(is_line && !help.contains("  "), "{name}: {help}");
        }
    }
}
