//! The text in which Prometheus takes metrics: its own, 0.0.4, and
//! OpenMetrics 1.0 where that is asked for
//! (<https://prometheus.io/docs/instrumenting/exposition_formats/>,
//! <https://github.com/prometheus/OpenMetrics/blob/main/specification/OpenMetrics.md>).
//!
//! Written here: the numbers are the layers' own, and a crate would bring a
//! registry, locks and names of threads for what are these few lines.

use std::fmt::{Display, Write as _};

use super::metrics::{Kind, Metric};
use crate::count::{BOUNDS, Spread};

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// `text/plain; version=0.0.4`
    Text,
    /// `application/openmetrics-text; version=1.0.0`
    OpenMetrics,
}

impl Format {
    /// What a client that sends this `Accept` understands; whoever says nothing
    /// of OpenMetrics gets the older one.
    pub fn of_accept(accept: &str) -> Self {
        match accept.contains("application/openmetrics-text") {
            true => Self::OpenMetrics,
            false => Self::Text,
        }
    }

    /// The media type.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// Takes one metric's samples.
pub(super) struct Samples<'a> {
    metric: &'a Metric,
    text: &'a mut String,
}

impl Samples<'_> {
    /// The only one.
    pub(super) fn one(&mut self, value: impl Display) {
        self.sample("", "", value);
    }

    /// The only one, if it is known.
    pub(super) fn known(&mut self, value: Option<impl Display>) {
        if let Some(value) = value {
            self.one(value);
        }
    }

    /// One for each value of a label. The values are words of pgfan's own.
    pub(super) fn each<V: Display>(
        &mut self,
        label: &str,
        values: impl IntoIterator<Item = (&'static str, V)>,
    ) {
        for (word, value) in values {
            self.sample("", &format!("{label}=\"{word}\""), value);
        }
    }

    /// Of a histogram.
    pub(super) fn spread(&mut self, spread: &Spread) {
        for (bound, count) in BOUNDS.iter().zip(spread.within) {
            let le = format!("le=\"{:?}\"", *bound as f64 / 1e6);
            self.sample("_bucket", &le, count);
        }
        self.sample("_bucket", "le=\"+Inf\"", spread.count);
        self.sample("_sum", "", spread.sum.as_secs_f64());
        self.sample("_count", "", spread.count);
    }

    fn sample(&mut self, suffix: &str, labels: &str, value: impl Display) {
        let (name, open, close) = match labels {
            "" => (self.metric.name, "", ""),
            _ => (self.metric.name, "{", "}"),
        };
        // Writing to a text cannot fail.
        let _ = writeln!(self.text, "{name}{suffix}{open}{labels}{close} {value}");
    }
}

/// One metric: what it is, and its samples. One that has none now is left out.
pub(super) fn write(
    text: &mut String,
    format: Format,
    metric: &Metric,
    read: impl FnOnce(&mut Samples<'_>),
) {
    let Metric {
        name, kind, help, ..
    } = metric;
    // In OpenMetrics a counter's samples have a suffix, and its name has not.
    let family = match (format, kind) {
        (Format::OpenMetrics, Kind::Counter) => name.strip_suffix("_total").unwrap_or(name),
        _ => name,
    };
    let kind = kind.as_str();
    let before = text.len();
    let _ = writeln!(text, "# HELP {family} {help}\n# TYPE {family} {kind}");
    let head = text.len();
    read(&mut Samples { metric, text });
    if text.len() == head {
        text.truncate(before);
    }
}
