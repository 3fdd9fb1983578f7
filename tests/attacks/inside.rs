use crate::{
    besieged::Besieged,
    support::{get, get_h2, post},
};

/// Paths at which programs often serve operator pages on their main port.
const INSIDE: [&str; 12] = [
    "/debug",
    "/debug/pprof/",
    "/admin",
    "/status",
    "/config",
    "/env",
    "/.env",
    "/stats",
    "/server-status",
    "/actuator/env",
    "/v1/tickets",
    "/v1",
];

/// The port has no such page, and its public pages consist of one word.
#[tokio::test(flavor = "multi_thread")]
async fn a23_the_port_has_no_page_about_the_inside() {
    let besieged = Besieged::new().await;
    let address = besieged.address();
    for path in INSIDE {
        for answer in [get(address, path, &[]).await, get_h2(address, path).await] {
            assert!(matches!(answer.status, 404 | 405), "{path}: {answer:?}");
        }
        if path != "/v1/tickets" {
            assert_eq!(post(address, path, "x").await.status, 404, "{path}");
        }
    }
    for (path, body) in [("/healthz", "ok\n"), ("/readyz", "ok\n"), ("/up", "")] {
        for answer in [get(address, path, &[]).await, get_h2(address, path).await] {
            assert_eq!(
                (answer.status, &*answer.body),
                (200, body.as_bytes()),
                "{path}"
            );
            assert_eq!(answer.header("server"), "", "{path}");
        }
    }
    besieged.gateway.stop().await;
}
