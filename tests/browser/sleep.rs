//! Suspended pages, and network changes.

use serde_json::json;

use crate::{
    hearing::Hearing,
    support::{Database, Link, TestGateway},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_wakes_up_has_missed_nothing() {
    let database = Database::new().await;
    let gateway = TestGateway::on(&database).await;
    let link = Link::to(gateway.address.port()).await;
    let mut hearing = Hearing::at(&format!("http://127.0.0.1:{}/", link.port)).await;
    hearing.listen("one", &["a"], "").await;
    hearing.live("one").await;
    hearing
        .page
        .call("Page.setWebLifecycleState", json!({"state": "frozen"}))
        .await;
    database.notify("a", "asleep").await;
    link.cut();
    database.notify("a", "away").await;
    hearing
        .page
        .call("Page.setWebLifecycleState", json!({"state": "active"}))
        .await;
    hearing.payloads("one", &["asleep", "away"]).await;
    hearing.live("one").await;
    assert_eq!(hearing.gaps("one").await, json!([]));
}

/// It is checking the connection, and not live since. Without any answer the
/// connection is given up.
async fn is_checking(hearing: &mut Hearing) {
    let states = hearing.page.eval("heard.one.states.slice(0, 3)").await;
    assert_eq!(states, json!(["connecting", "live", "checking"]));
    let next = hearing.page.eval("heard.one.states[3]").await;
    assert!(next != "live", "{next}");
}

/// The clock advances while a machine sleeps: here only the page's clock does.
#[tokio::test(flavor = "multi_thread")]
async fn after_a_long_sleep_it_is_live_only_when_the_gateway_has_answered() {
    let database = Database::new().await;
    let gateway = TestGateway::on(&database).await;
    let link = Link::to(gateway.address.port()).await;
    let mut hearing = Hearing::at(&format!("http://127.0.0.1:{}/", link.port)).await;
    hearing.listen("one", &["a"], "").await;
    hearing.live("one").await;
    link.freeze();
    let hour = "const now = Date.now; Date.now = () => now() + 3600e3; \
                document.dispatchEvent(new Event('visibilitychange')); return heard.one.status.state";
    assert_eq!(hearing.page.run(hour).await, "checking");
    link.thaw();
    hearing.live("one").await;
    let states = hearing.page.eval("heard.one.states").await;
    assert_eq!(states, json!(["connecting", "live", "checking", "live"]));
    assert_eq!(hearing.sockets().await, 1);
}

/// An answer that arrives after the sleep to a question from before proves nothing:
/// it may have waited in the machine, on a dead connection.
#[tokio::test(flavor = "multi_thread")]
async fn the_answer_to_an_older_question_is_none_to_the_last() {
    let database = Database::new().await;
    let gateway = TestGateway::on(&database).await;
    let link = Link::to(gateway.address.port()).await;
    let mut hearing = Hearing::at(&format!("http://127.0.0.1:{}/", link.port)).await;
    hearing.listen("one", &["a"], "").await;
    hearing.live("one").await;
    link.freeze();
    let hour = "const now = Date.now; Date.now = () => now() + 3600e3; \
                document.dispatchEvent(new Event('visibilitychange')); return heard.one.status.state";
    assert_eq!(hearing.page.run(hour).await, "checking");
    // Questions from now on are lost.
    hearing.page.run("sockets[0].send = () => {}").await;
    assert_eq!(hearing.page.run(hour).await, "checking");
    link.thaw();
    database.notify("a", "after the answer").await;
    hearing.payloads("one", &["after the answer"]).await;
    is_checking(&mut hearing).await;
}

/// A machine sends pages no event on waking up, and data from before the sleep may
/// be delivered before any timer runs.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_heard_first_after_a_sleep_proves_nothing() {
    let database = Database::new().await;
    let gateway = TestGateway::on(&database).await;
    let mut hearing = Hearing::on(gateway.address).await;
    hearing.listen("one", &["a"], "").await;
    hearing.live("one").await;
    let hour = "sockets[0].send = () => {}; \
                const now = Date.now; Date.now = () => now() + 3600e3";
    hearing.page.run(hour).await;
    database.notify("a", "from before the sleep").await;
    hearing.payloads("one", &["from before the sleep"]).await;
    is_checking(&mut hearing).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_network_is_looked_at_at_once() {
    let database = Database::new().await;
    let gateway = TestGateway::on(&database).await;
    let mut hearing = Hearing::on(gateway.address).await;
    hearing.listen("one", &["a"], "").await;
    hearing.live("one").await;
    hearing.page.offline(true).await;
    hearing.page.until("!navigator.onLine").await;
    hearing.page.until("heard.one.states.length > 2").await;
    database.notify("a", "1").await;
    hearing.page.offline(false).await;
    hearing.page.until("navigator.onLine").await;
    hearing.live("one").await;
    database.notify("a", "2").await;
    hearing.payloads("one", &["1", "2"]).await;
    assert_eq!(hearing.gaps("one").await, json!([]));
}

/// A page in the browser's back-forward cache holds no connection, and gets what it
/// missed. The headless Chromium caches no page, so the test sends it the events.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_comes_back_goes_on() {
    let database = Database::new().await;
    let gateway = TestGateway::on(&database).await;
    let mut hearing = Hearing::on(gateway.address).await;
    hearing.listen("one", &["a"], "").await;
    hearing.live("one").await;
    let transition = |name: &str| {
        format!("dispatchEvent(new PageTransitionEvent('{name}', {{ persisted: true }}))")
    };
    hearing.page.eval(&transition("pagehide")).await;
    hearing.is("one", "paused").await;
    hearing.page.until("sockets[0].readyState === 3").await;
    // It stays so, whatever the network does.
    hearing
        .page
        .eval("dispatchEvent(new Event('online'))")
        .await;
    hearing.is("one", "paused").await;
    database.notify("a", "away").await;
    hearing.page.eval(&transition("pageshow")).await;
    hearing.payloads("one", &["away"]).await;
    hearing.live("one").await;
    assert_eq!(hearing.gaps("one").await, json!([]));
}
