//! What the gateway says of itself to those who run it.

mod exposition;
mod logs;
mod metrics;
mod process;
mod sent_at;

pub use exposition::Format;
pub use logs::{LogFormat, LogFormatError, start};
pub use metrics::{METRICS, Metric, Metrics};
pub use sent_at::SentAt;
