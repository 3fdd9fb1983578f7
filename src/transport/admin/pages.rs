//! Operator pages: the content of `GET /metrics` and its access check.

use std::{fmt, sync::Arc};

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use http::{Extensions, HeaderMap, header};

use crate::transport::{
    access::{admission::Admission, route_set::RouteSet},
    protocol::{
        codes::{Code, Refusal},
        list_header,
    },
};

/// Renders the metrics for an `Accept` value: media type and text.
type Metrics = Arc<dyn Fn(&str) -> (&'static str, String) + Send + Sync>;

/// Page content that comes from outside the transports.
#[derive(Clone)]
pub struct AdminPages {
    /// Metrics for Prometheus.
    pub metrics: Metrics,
    /// How full PostgreSQL's notification queue is: 0 to 1, `None` if it is unknown.
    pub queue_usage: Arc<dyn Fn() -> Option<f64> + Send + Sync>,
}

#[cfg(any(test, fuzzing))]
impl AdminPages {
    /// Pages without content.
    pub(crate) fn empty() -> Self {
        Self {
            metrics: Arc::new(|_| ("text/plain", String::new())),
            queue_usage: Arc::new(|| None),
        }
    }
}

impl fmt::Debug for AdminPages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pages")
    }
}

/// `GET /metrics`. A listener for clients requires a grant that includes the
/// metrics; the admin listener requires none.
pub(in crate::transport) async fn metrics(
    State((admission, pages, side)): State<(Admission, AdminPages, RouteSet)>,
    extensions: Extensions,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let may_see = match side {
        RouteSet::Admin => true,
        RouteSet::Whole | RouteSet::Public => {
            let address = admission.address(&extensions, &headers);
            let credentials = admission.credentials(&headers);
            let grant = admission.admit(credentials, address).await?;
            grant.may_see_metrics()
        }
    };
    if !may_see {
        let rule = "the metrics are for tokens that say so (\"metrics\": true)";
        return Err(Refusal::new(Code::Forbidden, rule));
    }
    let accept = list_header::joined(&headers, &header::ACCEPT);
    let (content_type, text) = (pages.metrics)(&accept);
    let headers = [
        (header::CONTENT_TYPE, content_type),
        (header::CACHE_CONTROL, "no-store"),
    ];
    Ok((headers, text).into_response())
}
