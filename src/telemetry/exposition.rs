//! The text formats of Prometheus metrics: 0.0.4, and OpenMetrics 1.0 on request
//! (<https://prometheus.io/docs/instrumenting/exposition_formats/>,
//! <https://github.com/prometheus/OpenMetrics/blob/main/specification/OpenMetrics.md>).
//!
//! No crate: it would add a registry, locks and thread names for these few lines,
//! while the layers keep the numbers themselves.

use std::fmt::{Display, Write as _};

use super::{
    metrics::{Kind, Metric},
    samples::{Label, Number, Samples},
};
use crate::instruments::{BOUNDS, HistogramSnapshot};

/// Version of the text format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// `text/plain; version=0.0.4`
    Text,
    /// `application/openmetrics-text; version=1.0.0`
    OpenMetrics,
}

impl Format {
    /// The format for an `Accept` header: OpenMetrics if it is named, else the older one.
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

/// Writer of one metric's lines.
struct Lines<'a> {
    metric: &'a Metric,
    text: &'a mut String,
}

impl Samples for Lines<'_> {
    fn sample(&mut self, label: Option<Label<'_>>, value: Number) {
        match label {
            Some((label, word)) => self.line("", &format!("{label}=\"{word}\""), value),
            None => self.line("", "", value),
        }
    }

    fn spread(&mut self, spread: &HistogramSnapshot) {
        for (bound, count) in BOUNDS.iter().zip(spread.within) {
            let le = format!("le=\"{:?}\"", *bound as f64 / 1e6);
            self.line("_bucket", &le, count);
        }
        self.line("_bucket", "le=\"+Inf\"", spread.count);
        self.line("_sum", "", spread.sum.as_secs_f64());
        self.line("_count", "", spread.count);
    }
}

impl Lines<'_> {
    fn line(&mut self, suffix: &str, labels: &str, value: impl Display) {
        let (name, open, close) = match labels {
            "" => (self.metric.name, "", ""),
            _ => (self.metric.name, "{", "}"),
        };
        // Writing to a text cannot fail.
        let _ = writeln!(self.text, "{name}{suffix}{open}{labels}{close} {value}");
    }
}

/// Writes one metric: its description and samples. A metric without samples is left out.
pub(super) fn write(
    text: &mut String,
    format: Format,
    metric: &Metric,
    read: impl FnOnce(&mut dyn Samples),
) {
    let Metric {
        name, kind, help, ..
    } = metric;
    // In OpenMetrics a counter's samples have a suffix that its name does not have.
    let family = match (format, kind) {
        (Format::OpenMetrics, Kind::Counter) => name.strip_suffix("_total").unwrap_or(name),
        _ => name,
    };
    let kind = kind.as_str();
    let before = text.len();
    let _ = writeln!(text, "# HELP {family} {help}\n# TYPE {family} {kind}");
    let head = text.len();
    read(&mut Lines { metric, text });
    if text.len() == head {
        text.truncate(before);
    }
}
