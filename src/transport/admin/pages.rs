//! What the gateway says of itself: `GET /metrics` and `GET /v1/status`.

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

/// The metrics' media type and text, as this `Accept` has it.
type Metrics = Arc<dyn Fn(&str) -> (&'static str, String) + Send + Sync>;

/// What the transports show and do not know.
#[derive(Clone)]
pub struct AdminPages {
    /// For Prometheus.
    pub metrics: Metrics,
    /// How full PostgreSQL's notification queue is: 0 to 1, `None` if it is unknown.
    pub queue_usage: Arc<dyn Fn() -> Option<f64> + Send + Sync>,
}

#[cfg(any(test, fuzzing))]
impl AdminPages {
    /// That say nothing.
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

/// On the address for clients, where tokens are asked for: with one that says
/// so.
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
