//! Foreign pages in a real browser: of another site, and of a name that resolves to the
//! gateway.

use serde_json::json;

use crate::support::{
    Database, TestGateway,
    browser::{Browser, Page},
    get,
};

/// Resolves to the gateway's own machine.
const REBOUND: &str = "rebound.example";

/// The status of a request, or the error if the browser blocked it.
async fn fetched(page: &mut Page, path: &str, options: &str) -> serde_json::Value {
    let fetch = format!(
        "fetch({}, {options}).then((answer) => answer.status, (error) => error.name)",
        json!(path)
    );
    page.eval(&fetch).await
}

/// Result of a WebSocket.
async fn web_socket(page: &mut Page, path: &str) -> serde_json::Value {
    let opened = format!(
        "new Promise((resolve) => {{ const socket = new WebSocket({}); \
         socket.onopen = () => resolve('open'); socket.onerror = () => resolve('error'); }})",
        json!(path)
    );
    page.eval(&opened).await
}

#[tokio::test(flavor = "multi_thread")]
async fn attack_40_a_page_of_a_rebound_name_gets_nothing() {
    let database = Database::new().await;
    let settings = [("allow-publish", "on"), ("admin-listen", "127.0.0.1:0")];
    let gateway = TestGateway::with(&database, &settings).await;
    let rule = format!("--host-resolver-rules=MAP {REBOUND} 127.0.0.1");
    let browser = Browser::with(&[&rule, "--no-proxy-server"]).await;
    let mut page = browser.page().await;
    for address in [gateway.address, gateway.admin.unwrap()] {
        // Only this path may be requested under any name.
        let host = format!("{REBOUND}:{}", address.port());
        page.goto(&format!("http://{host}/healthz")).await;
        assert_eq!(page.eval("location.host").await, host.as_str());
        for path in ["/v1/sse?channel=a", "/v1/status", "/metrics", "/"] {
            assert_eq!(fetched(&mut page, path, "{}").await, 421, "{path}");
        }
        let publish = "{ method: 'POST', body: 'evil' }";
        assert_eq!(fetched(&mut page, "/v1/channels/a", publish).await, 421);
        let socket = format!("ws://{host}/v1/ws?channel=a");
        assert_eq!(web_socket(&mut page, &socket).await, "error");
        // The same page under an address or localhost is the gateway's own.
        for host in ["127.0.0.1", "localhost"] {
            let host = format!("{host}:{}", address.port());
            page.goto(&format!("http://{host}/healthz")).await;
            assert_eq!(fetched(&mut page, "/up", "{}").await, 200, "{host}");
            let socket = format!("ws://{host}/v1/ws?channel=a");
            assert_eq!(web_socket(&mut page, &socket).await, "open", "{host}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn attack_41_an_image_of_a_foreign_page_makes_no_reader() {
    let database = Database::new().await;
    // Another port is the same site, another name for this machine another site.
    let foreign = TestGateway::on(&database).await;
    let gateway = TestGateway::on(&database).await;
    let browser = Browser::start().await;
    let mut page = browser.page().await;
    let path = format!(
        "http://127.0.0.1:{}/v1/sse?channel=a",
        gateway.address.port()
    );
    let port = foreign.address.port();
    for host in ["127.0.0.1", "localhost"] {
        page.goto(&format!("http://{host}:{port}/healthz")).await;
        let image = format!(
            "new Promise((resolve) => {{ const image = new Image(); \
             image.onerror = () => resolve('error'); image.onload = () => resolve('load'); \
             image.src = {}; }})",
            json!(path)
        );
        assert_eq!(page.eval(&image).await, "error", "{host}");
        let no_cors = "{ mode: 'no-cors', credentials: 'include' }";
        assert_eq!(
            fetched(&mut page, &path, no_cors).await,
            "TypeError",
            "{host}"
        );
    }
    let status = get(gateway.address, "/v1/status", &[]).await.json();
    assert_eq!(status["refusals"]["forbidden"], 4, "{status:#}");
    assert_eq!(status["readers"]["sse"], 0, "{status:#}");
    // A link leads to the console.
    page.goto(&format!("http://localhost:{port}/healthz")).await;
    let console = format!("http://127.0.0.1:{}/", gateway.address.port());
    page.eval(&format!("void (location.href = {})", json!(console)))
        .await;
    page.until(&format!(
        "location.href === {} && document.querySelector('script')",
        json!(console)
    ))
    .await;
}
