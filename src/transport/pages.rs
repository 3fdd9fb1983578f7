//! What the gateway says of itself: `GET /metrics` and `GET /v1/status`.

use std::{fmt, sync::Arc};

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, header};

use super::{
    admission::Admission,
    codes::{Code, Refusal},
};

/// The metrics' media type and text, as this `Accept` has it.
type Metrics = Arc<dyn Fn(&str) -> (&'static str, String) + Send + Sync>;

/// What the transports show and do not know.
#[derive(Clone)]
pub struct Pages {
    /// For Prometheus.
    pub metrics: Metrics,
}

#[cfg(any(test, fuzzing))]
impl Pages {
    /// That say nothing.
    pub(crate) fn empty() -> Self {
        Self {
            metrics: Arc::new(|_| ("text/plain", String::new())),
        }
    }
}

impl fmt::Debug for Pages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pages")
    }
}

/// Where tokens are asked for, with one that says so.
pub(super) async fn metrics(
    State((admission, pages)): State<(Admission, Pages)>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let grant = admission.admit(admission.credentials(&headers)).await?;
    if !grant.may_see_metrics() {
        let rule = "the metrics are for tokens that say so (\"metrics\": true)";
        return Err(Refusal::new(Code::Forbidden, rule));
    }
    let accept = headers.get(header::ACCEPT);
    let accept = accept.and_then(|value| value.to_str().ok());
    let (content_type, text) = (pages.metrics)(accept.unwrap_or_default());
    let headers = [
        (header::CONTENT_TYPE, content_type),
        (header::CACHE_CONTROL, "no-store"),
    ];
    Ok((headers, text).into_response())
}
