//! The console, as a user sees it.

use std::path::PathBuf;

use pgfan::temp_postgres::Mode;
use serde_json::json;

use crate::support::{
    Database, TestGateway,
    browser::{Browser, Page},
    own_server,
};

pub const WIRES: [&str; 3] = ["websocket", "sse", "grpc"];

/// Path of a screenshot that shows what a test saw.
fn picture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("target/console/{name}.png"))
}

pub async fn open(browser: &Browser, gateway: &TestGateway) -> Page {
    let mut page = browser.page().await;
    page.resize(1280, 900).await;
    page.goto(&format!("http://{}/", gateway.address)).await;
    page
}

/// Waits until each column's last row has this type and contains this text.
pub async fn all_say(page: &mut Page, kind: &str, text: &str) {
    for wire in WIRES {
        let last = format!(
            "[...document.querySelectorAll('[data-wire={wire}] li')].some((row) => \
             row.dataset.type === {} && row.textContent.includes({}))",
            json!(kind),
            json!(text)
        );
        page.until(&last).await;
    }
}

/// The types of a column's rows, in order.
pub async fn types(page: &mut Page, wire: &str) -> serde_json::Value {
    page.eval(&format!(
        "[...document.querySelectorAll('[data-wire={wire}] li')].map((row) => row.dataset.type)"
    ))
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_listens_publishes_and_sees_an_outage_on_three_wires() {
    let mut server = own_server(&[]).await;
    let database = Database::at(server.url()).await;
    let gateway = TestGateway::with(&database, &[("allow-publish", "on")]).await;
    let browser = Browser::start().await;
    let mut page = open(&browser, &gateway).await;
    page.shows("#source", "live").await;
    page.fill("#names", "orders \"two words\"").await;
    page.click("#listen button.primary").await;
    all_say(&mut page, "ready", "orders, two words").await;
    page.shows("#channels", "two words").await;
    page.shows("#readers-by", "WebSocket1SSE1gRPC1").await;

    page.fill("#channel", "orders").await;
    page.fill("#payload", "<img src=x onerror=alert(1)> ü")
        .await;
    page.click("#publish button").await;
    page.shows("#published", "committed at").await;
    all_say(&mut page, "event", "<img src=x onerror=alert(1)> ü").await;
    assert_eq!(
        page.eval("document.querySelectorAll('.messages img').length")
            .await,
        0
    );
    database.notify("two words", "").await;
    all_say(&mut page, "event", "two words").await;
    page.until("document.querySelector('#events').value !== '–'")
        .await;

    server.stop(Mode::Fast).await.unwrap();
    all_say(&mut page, "interrupted", "since").await;
    page.shows("#source", "interrupted since").await;
    page.shows(
        "#notice",
        "Nothing arrives until the database is heard again",
    )
    .await;
    page.screenshot(&picture("interrupted")).await;
    server.start_again().await.unwrap();
    all_say(&mut page, "live", "").await;
    for wire in WIRES {
        let expected = json!(["ready", "event", "event", "interrupted", "gap", "live"]);
        assert_eq!(types(&mut page, wire).await, expected, "{wire}");
    }
    all_say(&mut page, "gap", "source_lost").await;
    page.shows("#source", "live").await;
    page.shows("#gaps-by", "source lost3").await;
    page.until("document.querySelector('#notice').textContent === ''")
        .await;
}

/// Presses a key by its name and its Windows key code.
async fn press(page: &mut Page, key: &str, number: u32) {
    let text = if key == "Enter" { "\r" } else { "" };
    for kind in ["keyDown", "keyUp"] {
        let event =
            json!({"type": kind, "key": key, "text": text, "windowsVirtualKeyCode": number});
        page.call("Input.dispatchKeyEvent", event).await;
    }
}

/// With any number of messages, the tab key passes them in one step; the arrow keys
/// move between them.
#[tokio::test(flavor = "multi_thread")]
async fn a_person_without_a_mouse_gets_to_all_of_it() {
    let database = Database::new().await;
    let gateway = TestGateway::on(&database).await;
    let browser = Browser::start().await;
    let mut page = open(&browser, &gateway).await;
    page.run("document.querySelector('#names').focus()").await;
    page.call("Input.insertText", json!({"text": "a"})).await;
    press(&mut page, "Enter", 13).await;
    all_say(&mut page, "ready", "a").await;
    for payload in ["first", "second", "third"] {
        database.notify("a", payload).await;
        all_say(&mut page, "event", payload).await;
    }
    page.run("document.querySelector('[data-wire=grpc] .messages').focus()")
        .await;
    let focused = "document.activeElement.textContent";
    let third = "[...document.querySelectorAll('[data-wire=grpc] .id')].at(-1).textContent";
    press(&mut page, "ArrowUp", 38).await;
    assert_eq!(page.eval(focused).await, page.eval(third).await);
    press(&mut page, "ArrowUp", 38).await;
    let second = page.eval(focused).await;
    press(&mut page, "Enter", 13).await;
    let cursor = page.eval("document.querySelector('#cursor').value").await;
    assert_eq!(cursor, second);
    press(&mut page, "Tab", 9).await;
    assert_eq!(page.eval("document.activeElement.id").await, "channel");
    let label = "document.querySelector('[data-wire=sse] .toggle').getAttribute('aria-label')";
    assert_eq!(page.eval(label).await, "Stop SSE");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_may_do_what_its_token_may() {
    let database = Database::new().await;
    let secret = "a secret of the console's tests, long enough";
    let gateway = TestGateway::with(&database, &[("token-secret", secret)]).await;
    let token = crate::tokens::made(secret, &["--subscribe", "mine", "--publish", "mine"]).await;
    let mut beside = crate::support::WebSocket::with_headers(
        gateway.address,
        "/v1/ws?channel=theirs",
        &[("authorization", &bearer(secret, "theirs").await)],
    )
    .await
    .unwrap()
    .0;
    beside.said().await;

    let browser = Browser::start().await;
    let mut page = open(&browser, &gateway).await;
    page.shows("#source", "unauthenticated").await;
    page.shows("#notice", "asks for a token").await;
    page.fill("#names", "mine").await;
    page.click("#listen button.primary").await;
    all_say(&mut page, "end", "unauthenticated").await;
    page.screenshot(&picture("refused")).await;

    page.fill("#token", &token).await;
    page.click("#access button").await;
    page.shows("#source", "live").await;
    page.click("#listen button.primary").await;
    all_say(&mut page, "ready", "mine").await;
    page.fill("#channel", "mine").await;
    page.fill("#payload", "x").await;
    page.click("#publish button").await;
    all_say(&mut page, "event", "x").await;
    // The token does not reveal the name of the other channel, only that there is
    // one.
    page.shows("#channels-note", "1 that this token may not read")
        .await;
    assert_eq!(
        page.eval("document.body.textContent.includes('theirs')")
            .await,
        false
    );
    page.fill("#channel", "theirs").await;
    page.click("#publish button").await;
    page.shows("#published", "forbidden").await;
    page.fill("#names", "mine theirs").await;
    page.click("#listen button.primary").await;
    all_say(&mut page, "end", "forbidden").await;

    // It is stored for this tab only.
    let kept = "JSON.stringify(localStorage).length + document.cookie.length";
    assert_eq!(page.eval(kept).await, 2);
    assert_eq!(
        page.eval("sessionStorage['pgfan.token']").await,
        json!(token)
    );
    let mut other = open(&browser, &gateway).await;
    other.shows("#source", "unauthenticated").await;
}

async fn bearer(secret: &str, channel: &str) -> String {
    let token = crate::tokens::made(secret, &["--subscribe", channel]).await;
    format!("Bearer {token}")
}

/// No inline script runs, nothing is loaded from another origin, and the page's own
/// policy blocks nothing of the page.
#[tokio::test(flavor = "multi_thread")]
async fn its_policy_lets_in_nothing_else() {
    let database = Database::new().await;
    let gateway = TestGateway::on(&database).await;
    let browser = Browser::start().await;
    let mut page = open(&browser, &gateway).await;
    let own = "globalThis.refused = []; \
               addEventListener('securitypolicyviolation', (e) => refused.push(e.effectiveDirective))";
    page.run(own).await;
    page.fill("#names", "a").await;
    page.click("#listen button.primary").await;
    all_say(&mut page, "ready", "a").await;
    page.click("#theme").await;
    assert_eq!(page.eval("refused").await, json!([]));
    let inline = "const one = document.createElement('script'); one.src = 'http://127.0.0.1:1/x.js'; \
                  document.body.append(one)";
    let attempt = format!("try {{ {inline} }} catch {{ refused.push('trusted-types') }}");
    page.run(&attempt).await;
    let html = "try { document.body.innerHTML = '<img src=x onerror=alert(1)>' } catch { refused.push('html') }";
    page.run(html).await;
    page.run("await fetch('http://127.0.0.1:1/').catch(() => {})")
        .await;
    for what in [
        "html",
        "trusted-types",
        "require-trusted-types-for",
        "connect-src",
    ] {
        page.until(&format!("refused.includes('{what}')")).await;
    }
}

/// At both widths and in both themes: nothing is wider than the page, every button
/// is reachable; with screenshots.
#[tokio::test(flavor = "multi_thread")]
async fn it_fits_a_desk_and_a_hand_by_day_and_night() {
    let database = Database::new().await;
    let gateway = TestGateway::with(&database, &[("allow-publish", "on")]).await;
    let browser = Browser::start().await;
    let mut page = open(&browser, &gateway).await;
    page.fill("#names", "orders stock invoices.paid").await;
    page.click("#listen button.primary").await;
    all_say(&mut page, "ready", "orders").await;
    for round in 0..14 {
        let order = format!(r#"{{"operation": "update", "table": "orders", "id": {round}}}"#);
        database.notify("orders", &order).await;
        database
            .notify_range("stock", round * 40, round * 40 + round * 3)
            .await;
        let answer = "globalThis.seen = document.querySelector('#events-note').textContent";
        page.run(answer).await;
        if round % 2 == 1 {
            page.until("seen !== document.querySelector('#events-note').textContent")
                .await;
        }
    }
    database.notify("invoices.paid", &"long ".repeat(60)).await;
    all_say(&mut page, "event", "long long").await;
    database.terminate().await;
    all_say(&mut page, "live", "").await;
    page.until("document.querySelector('#p99').value !== '–'")
        .await;
    for (width, height) in [(1280, 900), (390, 844)] {
        page.resize(width, height).await;
        for theme in ["dark", "light"] {
            let scheme = json!({"features": [{"name": "prefers-color-scheme", "value": theme}]});
            page.call("Emulation.setEmulatedMedia", scheme).await;
            let ground = page
                .eval("getComputedStyle(document.body).backgroundColor")
                .await;
            let expected = if theme == "dark" {
                "rgb(13, 15, 19)"
            } else {
                "rgb(246, 247, 249)"
            };
            assert_eq!(ground, expected);
            let overflow = "Math.max(0, document.documentElement.scrollWidth - document.documentElement.clientWidth)";
            assert_eq!(page.eval(overflow).await, 0, "at {width}");
            page.screenshot(&picture(&format!("{theme}-{width}"))).await;
        }
    }
    // Each field has the size that phones require.
    let sizes =
        "[...document.querySelectorAll('input')].map((one) => getComputedStyle(one).fontSize)";
    assert_eq!(page.eval(sizes).await, json!(vec!["16px"; 5]));
    // Set by the user, independently of the system's theme.
    page.click("#theme").await;
    page.click("#theme").await;
    let ground = page
        .eval("getComputedStyle(document.body).backgroundColor")
        .await;
    assert_eq!(ground, "rgb(13, 15, 19)");
}
