//! The exporter's types in a build without the feature `otlp`: they have no value, so the compiler
//! removes all code that uses them.

use std::{convert::Infallible, str::FromStr, sync::Arc};

use tokio::time::Instant;

use super::{EndpointError, Metrics};
use crate::event::{Followed, Notification};

/// Address of a collector; every text is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint(Infallible);

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(_: &str) -> Result<Self, EndpointError> {
        Err(EndpointError::NotBuilt)
    }
}

/// Settings of the exporter; they cannot exist without an address.
#[derive(Debug)]
pub struct OtlpSettings(Infallible);

impl OtlpSettings {
    /// Never called: an address cannot exist.
    pub fn read(
        endpoint: Endpoint,
        _: &dyn Fn(&str) -> Option<String>,
        _: impl FnMut(&'static str, String, &'static str),
    ) -> Self {
        Self(endpoint.0)
    }

    /// Never.
    pub fn begin(self) -> Option<(Traces, Exporting)> {
        match self.0 {}
    }
}

/// Maker of spans; cannot exist.
#[derive(Debug, Clone)]
pub struct Traces(Infallible);

impl Traces {
    /// Never.
    pub fn follow(&self, _: &Notification) -> Followed {
        match self.0 {}
    }

    /// Never.
    pub fn totals(&self) -> [u64; 2] {
        match self.0 {}
    }
}

/// The tasks that export; cannot exist.
#[derive(Debug)]
pub struct Exporting(Infallible);

impl Exporting {
    /// Never.
    pub fn add(&mut self, _: &Arc<Metrics>) {
        match self.0 {}
    }

    /// Never.
    pub async fn end(self, _: Instant) {
        match self.0 {}
    }
}
