//! Logs, metrics and traces for operators of the gateway.

mod endpoint_error;
mod exposition;
mod logs;
mod metrics;
#[cfg(feature = "otlp")]
mod otlp;
#[cfg(not(feature = "otlp"))]
#[path = "without_otlp.rs"]
mod otlp;
mod process;
mod samples;
mod sent_at;

pub use endpoint_error::EndpointError;
pub use exposition::Format;
pub use logs::{LogFormat, LogFormatError, start};
pub use metrics::{METRICS, Metric, Metrics};
pub use otlp::{Endpoint, Exporting, OtlpSettings, Traces};
pub use sent_at::SentAt;
