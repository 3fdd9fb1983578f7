//! The first page that a new user opens.

use crate::support::{browser::Browser, gateway_process::pgfan, program::Program};

/// No input is needed: the changing channel is subscribed.
#[tokio::test(flavor = "multi_thread")]
async fn the_address_that_the_demo_prints_shows_what_changes() {
    let mut demo = Program::start(pgfan().args(["demo", "--listen", "127.0.0.1:0"]));
    let line = demo.stdout.line("in a browser: ").await;
    let (_, address) = line.split_once("in a browser: ").unwrap();
    let browser = Browser::start().await;
    let mut page = browser.page().await;
    page.goto(address.trim()).await;
    for wire in ["websocket", "sse", "grpc"] {
        let rows = format!("[...document.querySelectorAll('[data-wire={wire}] li')]");
        let event = format!(
            "{rows}.some((row) => row.dataset.type === 'event' && \
             row.textContent.includes('\"table\" : \"orders\"'))"
        );
        page.until(&event).await;
    }
    // Channels to subscribe to, and channels to publish on.
    for id in ["names", "channel"] {
        let value = format!("document.getElementById('{id}').value");
        assert_eq!(page.eval(&value).await, "orders", "{id}");
    }
    demo.signal("INT").await;
    assert_eq!(demo.ended().await.status.code(), Some(0));
}
