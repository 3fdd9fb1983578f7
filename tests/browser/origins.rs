//! A page of another origin, with the headers that libraries add by themselves.

use serde_json::json;

use crate::support::{Database, TestGateway, browser::Browser};

/// Headers that a page's `fetch` may set; a browser sends a preflight for each
/// except the safe ones.
const HEADERS: &[&str] = &[
    "authorization",
    "baggage",
    "b3",
    "cache-control",
    "connect-protocol-version",
    "connect-timeout-ms",
    "content-type",
    "elastic-apm-traceparent",
    "grpc-timeout",
    "last-event-id",
    "newrelic",
    "pragma",
    "sentry-trace",
    "traceparent",
    "tracestate",
    "x-datadog-trace-id",
    "x-grpc-web",
    "x-requested-with",
    "x-user-agent",
];

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_is_allowed_sends_what_its_libraries_add() {
    let database = Database::new().await;
    // Another port is another origin (RFC 6454, section 4).
    let other = TestGateway::on(&database).await;
    let origin = format!("http://{}", other.address);
    let settings = [("allow-origin", &*origin), ("allow-publish", "on")];
    let gateway = TestGateway::with(&database, &settings).await;
    let browser = Browser::start().await;
    let mut page = browser.page().await;
    page.goto(&format!("{origin}/healthz")).await;
    let publish = format!("http://{}/v1/channels/a", gateway.address);
    let with = |names: &[&str]| {
        let headers: serde_json::Map<_, _> = names
            .iter()
            .map(|name| ((*name).to_owned(), json!("1")))
            .collect();
        format!(
            "fetch({}, {{ method: 'POST', credentials: 'include', body: 'x', headers: {} }})\
             .then((answer) => answer.status, (error) => error.name)",
            json!(publish),
            json!(headers)
        )
    };
    for name in HEADERS {
        assert_eq!(page.eval(&with(&[name])).await, 204, "{name}");
    }
    assert_eq!(page.eval(&with(HEADERS)).await, 204);
    // The browser does send a preflight for each of them.
    assert_eq!(page.eval(&with(&["x-forwarded-for"])).await, "TypeError");
}
