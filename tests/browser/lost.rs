//! Connections that end, and silence.

use pgfan::temp_postgres::Mode;
use serde_json::json;

use crate::{
    hearing::Hearing,
    support::{Database, Link, TestGateway, gateway_process::GatewayProcess, own_server},
};

async fn hearing_over(link: &Link) -> Hearing {
    Hearing::at(&format!("http://127.0.0.1:{}/", link.port)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_connection_goes_on_where_it_was() {
    let database = Database::new().await;
    let gateway = TestGateway::on(&database).await;
    let link = Link::to(gateway.address.port()).await;
    let mut hearing = hearing_over(&link).await;
    hearing.listen("one", &["a"], "").await;
    hearing.live("one").await;
    database.notify("a", "1").await;
    hearing.payloads("one", &["1"]).await;
    // A long time without own events, with many on another channel: the cursor
    // stays valid.
    database.notify_range("other", 1, 3000).await;
    link.cut();
    hearing.has_waited("one", "disconnected").await;
    database.notify("a", "2").await;
    hearing.live("one").await;
    database.notify("a", "3").await;
    hearing.payloads("one", &["1", "2", "3"]).await;
    assert_eq!(hearing.gaps("one").await, json!([]));
}

/// Each channel continues from its position, even if the second connection is
/// lost before all are subscribed again.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_over_many_cuts() {
    let database = Database::new().await;
    let gateway = TestGateway::on(&database).await;
    let link = Link::to(gateway.address.port()).await;
    let mut hearing = hearing_over(&link).await;
    hearing.listen("one", &["a", "b"], "").await;
    hearing.listen("two", &["b", "c"], "").await;
    hearing.live("two").await;
    let mut expected = Vec::new();
    for round in 0..6 {
        database.notify("b", &format!("{round} before")).await;
        let waits = hearing.page.eval("heard.two.waits.length").await;
        link.cut();
        database.notify("b", &format!("{round} away")).await;
        hearing
            .page
            .until(&format!("heard.two.waits.length > {waits}"))
            .await;
        hearing
            .page
            .eval("dispatchEvent(new Event('online'))")
            .await;
        hearing.live("two").await;
        expected.extend([format!("{round} before"), format!("{round} away")]);
    }
    let expected: Vec<_> = expected.iter().map(String::as_str).collect();
    hearing.payloads("one", &expected).await;
    hearing.payloads("two", &expected).await;
    assert_eq!(hearing.gaps("two").await, json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_gateway_is_a_gap() {
    let database = Database::new().await;
    let first = GatewayProcess::on(&database).await;
    let link = Link::to(first.address.port()).await;
    let mut hearing = hearing_over(&link).await;
    hearing.listen("one", &["a"], "").await;
    hearing.live("one").await;
    // Killed, and not replaced for a while.
    drop(first);
    hearing.is("one", "waiting").await;
    database.notify("a", "unheard").await;
    let second = GatewayProcess::on(&database).await;
    link.lead_to(second.address.port());
    hearing.until_gap("one", "unknown_cursor").await;
    hearing.live("one").await;
    database.notify("a", "heard").await;
    hearing.payloads("one", &["heard"]).await;
    assert_eq!(hearing.gaps("one").await, json!(["unknown_cursor"]));

    // A graceful end: the page gets the reason.
    second.stop().await;
    hearing
        .page
        .until("heard.one.all.length > 0 && heard.one.status.state === 'waiting'")
        .await;
    let third = GatewayProcess::on(&database).await;
    link.lead_to(third.address.port());
    // It comes after `ready`, with which the page is live.
    hearing.page.until("heard.one.gaps.length === 2").await;
    hearing.live("one").await;
    assert_eq!(
        hearing.gaps("one").await,
        json!(["unknown_cursor", "unknown_cursor"])
    );
    // It had worked before, so it is not considered blocked.
    assert_eq!(hearing.page.eval("heard.one.status.via").await, "websocket");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_that_goes_silent_is_noticed() {
    let database = Database::new().await;
    let gateway = TestGateway::on(&database).await;
    let link = Link::to(gateway.address.port()).await;
    let mut hearing = hearing_over(&link).await;
    hearing.listen("one", &["a"], "keepalive: 2").await;
    hearing.live("one").await;
    // A page that is idle for long stays live: the gateway answers each time.
    hearing
        .page
        .until("sockets[0].sent.filter((one) => one.channels?.length === 0).length > 2")
        .await;
    let states = hearing.page.eval("heard.one.states").await;
    assert_eq!(states, json!(["connecting", "live"]));
    link.freeze();
    database.notify("a", "stuck").await;
    hearing
        .page
        .until("heard.one.states.includes('waiting')")
        .await;
    let silent = "heard.one.status.code === 'silent' || heard.one.status.state === 'connecting'";
    assert_eq!(hearing.page.eval(silent).await, true);
    link.thaw();
    hearing.live("one").await;
    hearing.payloads("one", &["stuck"]).await;
    assert_eq!(hearing.gaps("one").await, json!([]));
}

/// Like a clock that was wrong when the machine was started.
#[tokio::test(flavor = "multi_thread")]
async fn silence_is_noticed_though_the_clock_was_set_back() {
    let database = Database::new().await;
    let gateway = TestGateway::on(&database).await;
    let link = Link::to(gateway.address.port()).await;
    let mut hearing = hearing_over(&link).await;
    hearing.listen("one", &["a"], "keepalive: 2").await;
    hearing.live("one").await;
    let day = "const now = Date.now; Date.now = () => now() - 86_400e3";
    hearing.page.run(day).await;
    link.freeze();
    hearing
        .page
        .until("heard.one.states.includes('waiting')")
        .await;
    database.notify("a", "stuck").await;
    link.thaw();
    hearing.live("one").await;
    hearing.payloads("one", &["stuck"]).await;
    assert_eq!(hearing.gaps("one").await, json!([]));
}

/// First not live, then the gap, then live.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_goes_away_is_told_in_order() {
    let mut server = own_server(&[]).await;
    let database = Database::at(server.url()).await;
    let gateway = TestGateway::on(&database).await;
    let mut hearing = Hearing::on(gateway.address).await;
    hearing.listen("one", &["a"], "keepalive: 1.5").await;
    hearing.live("one").await;
    server.stop(Mode::Fast).await.unwrap();
    hearing.is("one", "interrupted").await;
    // A new subscription waits.
    hearing.listen("two", &["b"], "keepalive: 1.5").await;
    let asked = "sockets[0].sent.filter((one) => one.channels?.length === 0).length";
    let before = hearing.page.eval(asked).await;
    hearing.page.until(&format!("{asked} > {before}")).await;
    hearing.is("one", "interrupted").await;
    server.start_again().await.unwrap();
    hearing.live("one").await;
    hearing.live("two").await;
    let all = hearing.page.eval("heard.one.all").await;
    assert_eq!(
        all,
        json!(["connecting", "live", "interrupted", "gap", "live"])
    );
    assert_eq!(hearing.gaps("one").await, json!(["source_lost"]));
    assert_eq!(hearing.gaps("two").await, json!([]));
}
