//! One connection for several subscriptions, and channels that come and go.

use serde_json::json;

use crate::{
    hearing::Hearing,
    support::{Database, Link, TestGateway},
};

#[tokio::test(flavor = "multi_thread")]
async fn events_come_over_a_websocket_in_order() {
    let database = Database::new().await;
    let gateway = TestGateway::on(&database).await;
    let mut hearing = Hearing::on(gateway.address).await;
    hearing.listen("both", &["a", "Quoted \"ß\""], "").await;
    hearing.live("both").await;
    database.notify("a", "one").await;
    database.notify("Quoted \"ß\"", "two\n<b>").await;
    database.notify("a", "").await;
    hearing.payloads("both", &["one", "two\n<b>", ""]).await;
    assert_eq!(
        hearing.page.eval("heard.both.status.via").await,
        "websocket"
    );
    assert_eq!(hearing.gaps("both").await, json!([]));
    let states = hearing.page.eval("heard.both.states").await;
    assert_eq!(states, json!(["connecting", "live"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn many_subscriptions_have_one_connection() {
    let database = Database::new().await;
    let gateway = TestGateway::on(&database).await;
    let link = Link::to(gateway.address.port()).await;
    let mut hearing = Hearing::at(&format!("http://127.0.0.1:{}/", link.port)).await;
    let before = link.accepted();
    let all = "for (let n = 0; n < 50; n += 1) listen(`n${n}`, ['all', `own.${n}`])";
    hearing.page.run(all).await;
    hearing.live("n49").await;
    hearing.listen("later", &["all", "late"], "").await;
    hearing.live("later").await;
    database.notify("all", "x").await;
    database.notify("own.7", "y").await;
    hearing.payloads("n7", &["x", "y"]).await;
    hearing.payloads("later", &["x"]).await;
    hearing.payloads("n8", &["x"]).await;
    assert_eq!(hearing.sockets().await, 1);
    assert_eq!(link.accepted() - before, 1, "of the page's WebSocket alone");

    // When the last has left, no connection stays open.
    hearing
        .page
        .run("for (const one of Object.values(open)) one.close()")
        .await;
    hearing.is_closed("later").await;
    hearing.at_rest().await;
    hearing.listen("again", &["all"], "").await;
    hearing.live("again").await;
    database.notify("all", "z").await;
    hearing.payloads("again", &["z"]).await;
    assert_eq!(hearing.gaps("again").await, json!([]));
}

/// Between leaving and joining again there is an answer of the gateway.
#[tokio::test(flavor = "multi_thread")]
async fn who_comes_while_another_leaves_is_ready_only_after_it() {
    let database = Database::new().await;
    let gateway = TestGateway::on(&database).await;
    let mut hearing = Hearing::on(gateway.address).await;
    hearing.listen("stays", &["b"], "").await;
    hearing.listen("first", &["a"], "").await;
    hearing.live("first").await;
    let change = "open.first.close(); await null; await null; listen('second', ['a']); \
                  await null; await null; return heard.second.status.live ?? false";
    assert_eq!(hearing.page.run(change).await, false);
    hearing.live("second").await;
    database.notify("a", "x").await;
    hearing.payloads("second", &["x"]).await;
    hearing.payloads("first", &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn channels_that_nobody_wants_are_given_up() {
    let database = Database::new().await;
    let gateway = TestGateway::on(&database).await;
    let mut hearing = Hearing::on(gateway.address).await;
    hearing.listen("one", &["a", "b"], "").await;
    hearing.listen("two", &["b"], "").await;
    hearing.live("two").await;
    hearing.page.run("open.one.close()").await;
    database.notify("a", "unheard").await;
    database.notify("b", "heard").await;
    hearing.payloads("two", &["heard"]).await;
    let last = hearing.page.eval("sockets[0].sent.at(-1)").await;
    assert_eq!(last, json!({"type": "unsubscribe", "channels": ["a"]}));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_page_reads_two_gateways_of_other_origins() {
    let (ours, theirs) = (Database::new().await, Database::new().await);
    let here = TestGateway::on(&ours).await;
    let origin = format!("http://{}", here.address);
    let there = TestGateway::with(&theirs, &[("allow-origin", &origin)]).await;
    let mut hearing = Hearing::on(here.address).await;
    // Imports the module of the other gateway too: it knows its own origin.
    let import = format!(
        "globalThis.other = await import('http://{}/pgfan.js')",
        there.address
    );
    hearing.page.run(&import).await;
    hearing.listen("here", &["a"], "").await;
    hearing.listen("there", &["a"], "client: other").await;
    let url = format!("url: 'http://{}'", there.address);
    hearing.listen("named", &["a"], &url).await;
    for name in ["here", "there", "named"] {
        hearing.live(name).await;
    }
    ours.notify("a", "ours").await;
    theirs.notify("a", "theirs").await;
    hearing.payloads("here", &["ours"]).await;
    hearing.payloads("there", &["theirs"]).await;
    hearing.payloads("named", &["theirs"]).await;
}
