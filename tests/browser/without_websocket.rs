//! SSE, if WebSockets are blocked.

use serde_json::json;

use crate::{
    hearing::Hearing,
    no_upgrade::NoUpgrade,
    support::{Database, EventStream, Link, TestGateway, gateway_process::GatewayProcess},
};

async fn hearing_without(port: u16) -> (NoUpgrade, Hearing) {
    let proxy = NoUpgrade::to(port).await;
    let hearing = Hearing::on(proxy.address).await;
    (proxy, hearing)
}

#[tokio::test(flavor = "multi_thread")]
async fn events_come_over_sse() {
    let database = Database::new().await;
    let gateway = TestGateway::on(&database).await;
    let (_proxy, mut hearing) = hearing_without(gateway.address.port()).await;
    hearing.listen("one", &["a", "b b"], "").await;
    hearing.live("one").await;
    assert_eq!(hearing.page.eval("heard.one.status.via").await, "sse");
    for (channel, payload) in [("a", "1\r\n2"), ("b b", ""), ("a", "ß")] {
        database.notify(channel, payload).await;
    }
    hearing.payloads("one", &["1\r\n2", "", "ß"]).await;
    assert_eq!(hearing.sockets().await, 0);
}

/// The stream is replaced then: nothing is missed, or it is reported.
#[tokio::test(flavor = "multi_thread")]
async fn channels_come_and_go_over_sse() {
    let database = Database::new().await;
    let gateway = TestGateway::on(&database).await;
    let (_proxy, mut hearing) = hearing_without(gateway.address.port()).await;
    hearing.listen("one", &["a"], "").await;
    hearing.live("one").await;
    // No reader has subscribed to b since one's cursor: the gateway cannot resume
    // from there, and reports that before `ready`: two has missed nothing.
    hearing.listen("two", &["b"], "").await;
    hearing.until_gap("one", "cursor_too_old").await;
    hearing.live("two").await;
    assert_eq!(hearing.gaps("one").await, json!(["cursor_too_old"]));
    database.notify("a", "1").await;
    database.notify("b", "2").await;
    hearing.payloads("one", &["1"]).await;
    hearing.payloads("two", &["2"]).await;
    // Removing channels is no loss for the remaining subscriptions.
    hearing.page.run("open.two.close(); await null").await;
    database.notify("a", "3").await;
    hearing.payloads("one", &["1", "3"]).await;
    hearing.live("one").await;
    assert_eq!(hearing.gaps("one").await, json!(["cursor_too_old"]));
    assert_eq!(hearing.gaps("two").await, json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_comma_in_a_name_is_not_one_between_names() {
    let database = Database::new().await;
    let gateway = TestGateway::on(&database).await;
    let (_proxy, mut hearing) = hearing_without(gateway.address.port()).await;
    hearing.listen("one", &["a,b"], "").await;
    hearing.live("one").await;
    let both = "open.one.close(); listen('two', ['a', 'b'])";
    hearing.page.run(both).await;
    hearing.live("two").await;
    database.notify("b", "x").await;
    hearing.payloads("two", &["x"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_sse_stream_goes_on_and_a_restart_is_a_gap() {
    let database = Database::new().await;
    let first = GatewayProcess::on(&database).await;
    let link = Link::to(first.address.port()).await;
    let (_proxy, mut hearing) = hearing_without(link.port).await;
    hearing.listen("one", &["a"], "").await;
    hearing.live("one").await;
    link.cut();
    hearing.has_waited("one", "disconnected").await;
    database.notify("a", "1").await;
    hearing.live("one").await;
    hearing.payloads("one", &["1"]).await;
    assert_eq!(hearing.gaps("one").await, json!([]));
    drop(first);
    let second = GatewayProcess::on(&database).await;
    link.lead_to(second.address.port());
    hearing.until_gap("one", "unknown_cursor").await;
    hearing.live("one").await;
    database.notify("a", "2").await;
    hearing.payloads("one", &["1", "2"]).await;
}

/// Heartbeats move the cursor, and their absence is detected.
#[tokio::test(flavor = "multi_thread")]
async fn a_silent_sse_stream_is_noticed() {
    let database = Database::new().await;
    let gateway = TestGateway::with(&database, &[("keepalive", "1s")]).await;
    let link = Link::to(gateway.address.port()).await;
    let (_proxy, mut hearing) = hearing_without(link.port).await;
    hearing.listen("one", &["a"], "keepalive: 2").await;
    hearing.live("one").await;
    // Heartbeats for longer than the page would wait for one.
    let mut beside = EventStream::open(gateway.address, "/v1/sse?channel=a", &[]).await;
    for _ in 0..5 {
        beside.chunk().await.unwrap();
    }
    let states = hearing
        .page
        .eval("heard.one.states.filter((one) => one === 'live').length")
        .await;
    assert_eq!(states, 1);
    link.freeze();
    database.notify("a", "stuck").await;
    hearing
        .page
        .until("heard.one.states.includes('waiting')")
        .await;
    link.thaw();
    hearing.live("one").await;
    hearing.payloads("one", &["stuck"]).await;
    assert_eq!(hearing.gaps("one").await, json!([]));
}

/// The first data may have waited in the machine, and on SSE the client cannot send a
/// question.
#[tokio::test(flavor = "multi_thread")]
async fn an_sse_stream_is_opened_anew_after_a_sleep() {
    let database = Database::new().await;
    let gateway = TestGateway::on(&database).await;
    let (_proxy, mut hearing) = hearing_without(gateway.address.port()).await;
    hearing.listen("one", &["a"], "").await;
    hearing.live("one").await;
    let hour = "const now = Date.now; Date.now = () => now() + 3600e3";
    hearing.page.run(hour).await;
    database.notify("a", "1").await;
    let again = "heard.one.states.filter((one) => one === 'live').length === 2";
    hearing.page.until(again).await;
    database.notify("a", "2").await;
    hearing.payloads("one", &["1", "2"]).await;
    assert_eq!(hearing.gaps("one").await, json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_goes_away_is_told_over_sse() {
    let database = Database::new().await;
    let gateway = TestGateway::on(&database).await;
    let (_proxy, mut hearing) = hearing_without(gateway.address.port()).await;
    hearing.listen("one", &["a"], "").await;
    hearing.live("one").await;
    database.terminate().await;
    hearing.until_gap("one", "source_lost").await;
    hearing.live("one").await;
    let all = hearing.page.eval("heard.one.all.slice(-4)").await;
    assert_eq!(all, json!(["live", "interrupted", "gap", "live"]));
}
