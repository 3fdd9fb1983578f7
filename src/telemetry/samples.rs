//! Samples of a metric at one moment, independent of the output format.

use std::fmt;

use crate::instruments::HistogramSnapshot;

/// A sample's value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Number {
    Whole(u64),
    Real(f64),
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(number) => number.fmt(f),
            Self::Real(number) => number.fmt(f),
        }
    }
}

impl From<u8> for Number {
    fn from(number: u8) -> Self {
        Self::Whole(number.into())
    }
}

impl From<u64> for Number {
    fn from(number: u64) -> Self {
        Self::Whole(number)
    }
}

impl From<usize> for Number {
    fn from(number: usize) -> Self {
        Self::Whole(number as u64)
    }
}

impl From<f64> for Number {
    fn from(number: f64) -> Self {
        Self::Real(number)
    }
}

/// A label and its value, both constants of pgfan.
pub(super) type Label<'a> = (&'a str, &'static str);

/// Sink for the samples of one metric.
pub(super) trait Samples {
    /// Adds one sample.
    fn sample(&mut self, label: Option<Label<'_>>, value: Number);

    /// Adds a histogram.
    fn spread(&mut self, spread: &HistogramSnapshot);
}

impl dyn Samples + '_ {
    /// Adds the only sample.
    pub(super) fn one(&mut self, value: impl Into<Number>) {
        self.sample(None, value.into());
    }

    /// Adds the only sample, if its value is known.
    pub(super) fn known(&mut self, value: Option<impl Into<Number>>) {
        if let Some(value) = value {
            self.one(value);
        }
    }

    /// Adds one sample per value of a label.
    pub(super) fn each<V: Into<Number>>(
        &mut self,
        label: &str,
        values: impl IntoIterator<Item = (&'static str, V)>,
    ) {
        for (word, value) in values {
            self.sample(Some((label, word)), value.into());
        }
    }
}
