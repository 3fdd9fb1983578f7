//! One span for each traced notification, from its receipt to the first round of writes that has it.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use opentelemetry_proto::tonic::{
    common::v1::{AnyValue, KeyValue, any_value::Value},
    trace::v1::{Span, span::SpanKind},
};
use tokio::sync::mpsc;

use super::{
    open::{Number, OpenSpans},
    parent::{self, Parent},
};
use crate::event::{EventId, Followed, Follower, Notification};

/// Limit of the spans that wait for the exporter, and limit of the open spans: the queue's size in
/// OpenTelemetry's SDKs. A span takes up to 2 KB, with the longest names and states: 8 MB in all. At
/// the limit a span is dropped and counted: the new one if the queue is full, the oldest of the open
/// ones.
const LIMIT: usize = 2048;

/// Flags of the parent: it was sampled, and it is known to be in another process
/// (`SPAN_FLAGS_CONTEXT_HAS_IS_REMOTE_MASK`, `SPAN_FLAGS_CONTEXT_IS_REMOTE_MASK`).
const FLAGS: u32 = 0x301;

/// Counters of the spans.
#[derive(Debug)]
pub(super) struct Counts {
    open: OpenSpans,
    pub(super) exported: AtomicU64,
    pub(super) dropped: AtomicU64,
}

/// Makes the spans. Cheap to clone; clones share one queue.
#[derive(Debug, Clone)]
pub struct Traces {
    queue: mpsc::Sender<Span>,
    pub(super) counts: Arc<Counts>,
}

/// The exporter's end of the queue.
pub(super) type Spans = mpsc::Receiver<Span>;

pub(super) fn channel() -> (Traces, Spans) {
    let (queue, spans) = mpsc::channel(LIMIT);
    let counts = Arc::new(Counts {
        open: OpenSpans::up_to(LIMIT),
        exported: AtomicU64::new(0),
        dropped: AtomicU64::new(0),
    });
    (Traces { queue, counts }, spans)
}

impl Traces {
    /// Starts the span of a notification that was just received, if its payload names a parent that was
    /// sampled.
    pub fn follow(&self, notification: &Notification) -> Followed {
        let Some((parent, sent_at)) = parent::of(&notification.payload) else {
            return Followed::default();
        };
        let (number, gave_way) = self.counts.open.begin();
        if gave_way {
            self.counts.dropped.fetch_add(1, Ordering::Relaxed);
        }
        Followed::by(Open {
            traces: self.clone(),
            parent,
            sent_at,
            channel: notification.channel.clone(),
            size: notification.payload.len(),
            taken: OnceLock::new(),
            number,
        })
    }

    /// Number of spans that were exported, and that were dropped.
    pub fn totals(&self) -> [u64; 2] {
        let Counts {
            exported, dropped, ..
        } = &*self.counts;
        [exported, dropped].map(|count| count.load(Ordering::Relaxed))
    }

    fn send(&self, span: Span) {
        if self.queue.try_send(span).is_err() {
            self.counts.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// An open span.
#[derive(Debug)]
struct Open {
    traces: Traces,
    parent: Parent,
    sent_at: Option<SystemTime>,
    channel: Box<str>,
    size: usize,
    taken: OnceLock<Taken>,
    number: Number,
}

#[derive(Debug, Clone, Copy)]
struct Taken {
    id: EventId,
    received_at: SystemTime,
    readers: usize,
}

impl Follower for Open {
    fn taken_in(&self, id: EventId, received_at: SystemTime, readers: usize) {
        let taken = Taken {
            id,
            received_at,
            readers,
        };
        if self.taken.set(taken).is_ok() && readers == 0 {
            self.end("no_readers");
        }
    }

    fn given(&self) {
        self.end("given");
    }
}

/// The log dropped the event before any reader was given it: the readers left, or got a gap.
impl Drop for Open {
    fn drop(&mut self) {
        self.end("not_given");
        // Still open if it did not become an event.
        self.close();
    }
}

impl Open {
    fn end(&self, outcome: &'static str) {
        let Some(taken) = self.taken.get() else {
            return;
        };
        if !self.close() {
            return;
        }
        self.traces
            .send(self.span(taken, outcome, SystemTime::now()));
    }

    /// True if it was open.
    fn close(&self) -> bool {
        self.traces.counts.open.end(self.number)
    }

    /// Name and attributes follow the conventions for messaging
    /// (<https://opentelemetry.io/docs/specs/semconv/messaging/messaging-spans/>).
    fn span(&self, taken: &Taken, outcome: &str, ended_at: SystemTime) -> Span {
        let text = |value: &str| Value::StringValue(value.to_owned());
        let count = |value: usize| Value::IntValue(i64::try_from(value).unwrap_or(i64::MAX));
        let mut attributes = vec![
            attribute("messaging.system", text("postgresql")),
            attribute("messaging.operation.name", text("process")),
            attribute("messaging.operation.type", text("process")),
            attribute("messaging.destination.name", text(&self.channel)),
            attribute("messaging.message.id", text(&taken.id.to_string())),
            attribute("messaging.message.body.size", count(self.size)),
            attribute("pgfan.readers", count(taken.readers)),
            attribute("pgfan.outcome", text(outcome)),
        ];
        if let Some(sent_at) = self.sent_at {
            // Zero if the sender's clock is ahead, as in the metrics.
            let took = taken
                .received_at
                .duration_since(sent_at)
                .unwrap_or_default();
            let took = Value::DoubleValue(took.as_secs_f64());
            attributes.push(attribute("pgfan.sent_to_receipt_seconds", took));
        }
        Span {
            trace_id: self.parent.trace_id.to_vec(),
            span_id: fastrand::u64(1..).to_be_bytes().to_vec(),
            trace_state: self.parent.state.clone(),
            parent_span_id: self.parent.span_id.to_vec(),
            flags: FLAGS,
            name: format!("process {}", self.channel),
            kind: SpanKind::Consumer.into(),
            start_time_unix_nano: nanoseconds(taken.received_at),
            // No earlier than the start, if the clock was set back.
            end_time_unix_nano: nanoseconds(ended_at.max(taken.received_at)),
            attributes,
            ..Span::default()
        }
    }
}

pub(super) fn attribute(key: &str, value: Value) -> KeyValue {
    let value = Some(AnyValue { value: Some(value) });
    KeyValue {
        key: key.to_owned(),
        value,
        ..KeyValue::default()
    }
}

/// Since 1970; 64 bits are enough until 2554.
pub(super) fn nanoseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    let since: Duration = since.unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Epoch;

    fn traced() -> Notification {
        let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        Notification {
            channel: "a".into(),
            payload: format!(r#"{{"traceparent":"{parent}"}}"#).into(),
        }
    }

    fn take_in(followed: &Followed, readers: usize) {
        let id = EventId {
            epoch: Epoch::random(),
            sequence: 1,
        };
        followed.taken_in(id, SystemTime::now(), readers);
    }

    fn outcome(span: &Span) -> &str {
        let found = span.attributes.iter().find(|a| a.key == "pgfan.outcome");
        let value = found.and_then(|found| found.value.as_ref()?.value.as_ref());
        match value {
            Some(Value::StringValue(text)) => text,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_span_ends_once() {
        let (traces, mut spans) = channel();
        let followed = traces.follow(&traced());
        take_in(&followed, 2);
        assert!(spans.try_recv().is_err());
        followed.given();
        followed.given();
        drop(followed);
        assert_eq!(outcome(&spans.try_recv().unwrap()), "given");
        assert!(spans.try_recv().is_err());
        assert_eq!(traces.counts.open.count(), 0);
    }

    #[test]
    fn what_no_reader_was_given_ends_too() {
        let (traces, mut spans) = channel();
        let alone = traces.follow(&traced());
        take_in(&alone, 0);
        assert_eq!(outcome(&spans.try_recv().unwrap()), "no_readers");
        let left = traces.follow(&traced());
        take_in(&left, 1);
        drop(left);
        assert_eq!(outcome(&spans.try_recv().unwrap()), "not_given");
        drop(traces.follow(&traced()));
        assert!(spans.try_recv().is_err());
        drop(alone);
        assert_eq!(traces.counts.open.count(), 0);
        assert_eq!(traces.totals(), [0, 0]);
    }

    #[test]
    fn both_limits_hold_and_what_is_over_them_is_counted() {
        let (traces, mut spans) = channel();
        let open: Vec<_> = (0..LIMIT + 3).map(|_| traces.follow(&traced())).collect();
        assert_eq!(traces.counts.open.count(), LIMIT);
        assert_eq!(traces.totals(), [0, 3]);
        // The oldest are spans no longer.
        for followed in &open[..3] {
            take_in(followed, 0);
        }
        assert!(spans.try_recv().is_err());
        drop(open);
        assert_eq!(traces.counts.open.count(), 0);
        for _ in 0..LIMIT + 5 {
            take_in(&traces.follow(&traced()), 0);
        }
        assert_eq!(traces.totals(), [0, 8]);
        assert_eq!(std::iter::from_fn(|| spans.try_recv().ok()).count(), LIMIT);
    }
}
