//! The console, on streams that resume from a cursor.

use serde_json::json;

use crate::{
    console::{WIRES, all_say, open, types},
    support::{
        Database, TestGateway,
        browser::{Browser, Page},
    },
};

/// A column's rows are written some time after their messages arrived.
async fn rows(page: &mut Page, wire: &str, expected: &serde_json::Value) {
    let rows = expected.as_array().unwrap().len();
    let written = format!("document.querySelectorAll('[data-wire={wire}] li').length >= {rows}");
    page.until(&written).await;
    assert_eq!(types(page, wire).await, *expected, "{wire}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_resumes_from_a_cursor() {
    let database = Database::new().await;
    let gateway = TestGateway::on(&database).await;
    let browser = Browser::start().await;
    let mut page = open(&browser, &gateway).await;
    page.fill("#names", "a").await;
    page.click("#listen button.primary").await;
    all_say(&mut page, "ready", "a").await;
    for payload in ["first", "second", "third"] {
        database.notify("a", payload).await;
        all_say(&mut page, "event", payload).await;
    }
    // Only one column: stopped, and resumed from its position.
    let pills = "globalThis.pills = []; new MutationObserver((all) => pills.push( \
                 ...all.flatMap((one) => [...one.addedNodes].map((node) => node.textContent)))) \
                 .observe(document.querySelector('[data-wire=sse] .pill'), { childList: true })";
    page.run(pills).await;
    page.click("[data-wire=sse] .toggle").await;
    page.shows("[data-wire=sse] .pill", "off").await;
    database.notify("a", "missed").await;
    page.shows("[data-wire=websocket] li:last-child", "missed")
        .await;
    page.click("[data-wire=sse] .toggle").await;
    all_say(&mut page, "event", "missed").await;
    page.shows("[data-wire=sse] .pill", "live").await;
    // The missed events came first.
    let expected = json!(["ready", "event", "event", "event", "event", "ready"]);
    rows(&mut page, "sse", &expected).await;
    let shown = json!(["off", "connecting", "catching up", "live"]);
    assert_eq!(page.eval("pills").await, shown);
    // All of them, from the selected event.
    page.click("[data-wire=grpc] li:nth-child(2) .id").await;
    page.click("#listen button.primary").await;
    all_say(&mut page, "event", "missed").await;
    for wire in WIRES {
        let expected = json!(["event", "event", "event", "ready"]);
        rows(&mut page, wire, &expected).await;
    }
    // A cursor of no gateway process.
    page.fill("#cursor", "nonsense").await;
    page.click("#listen button.primary").await;
    for wire in WIRES {
        rows(&mut page, wire, &json!(["gap", "ready"])).await;
    }
    all_say(&mut page, "gap", "unknown_cursor").await;
    page.click("#stop").await;
    page.shows("[data-wire=grpc] .pill", "off").await;
    page.shows("#channels", "a").await;
}
