//! Caches that outlive their subscriptions: changes between a `close` and the next
//! `subscribe` are delivered later, or reported as a gap.

use serde_json::json;

use crate::{
    hearing::Hearing,
    no_upgrade::NoUpgrade,
    support::{Database, EventStream, TestGateway},
};

/// All messages of a subscription, in order.
async fn all(hearing: &mut Hearing, name: &str) -> serde_json::Value {
    hearing.page.eval(&format!("heard.{name}.all")).await
}

/// Live, then closed, and the gateway holds nothing of it.
async fn comes_and_goes(hearing: &mut Hearing, name: &str, options: &str) {
    hearing.listen(name, &["a"], options).await;
    hearing.live(name).await;
    hearing.page.run(&format!("open.{name}.close()")).await;
    hearing.at_rest().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changes_while_nobody_listens_comes_later() {
    let database = Database::new().await;
    let gateway = TestGateway::on(&database).await;
    let mut hearing = Hearing::on(gateway.address).await;
    comes_and_goes(&mut hearing, "first", "").await;
    database.notify("a", "between").await;
    hearing.listen("second", &["a"], "").await;
    hearing.payloads("second", &["between"]).await;
    hearing.live("second").await;
    assert_eq!(hearing.gaps("second").await, json!([]));
    hearing.payloads("first", &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changes_while_nobody_listens_comes_later_over_sse() {
    let database = Database::new().await;
    let gateway = TestGateway::on(&database).await;
    let proxy = NoUpgrade::to(gateway.address.port()).await;
    let mut hearing = Hearing::on(proxy.address).await;
    comes_and_goes(&mut hearing, "first", "").await;
    database.notify("a", "between").await;
    hearing.listen("second", &["a"], "").await;
    hearing.payloads("second", &["between"]).await;
    hearing.live("second").await;
    assert_eq!(hearing.gaps("second").await, json!([]));
    // A remaining subscription continues, whatever another has missed.
    hearing.listen("stays", &["b"], "").await;
    hearing.live("stays").await;
    hearing.page.run("open.second.close()").await;
    hearing.live("stays").await;
    let before = hearing.gaps("stays").await;
    for (channel, payload) in [("a", "missed"), ("b", "1")] {
        database.notify(channel, payload).await;
    }
    hearing.payloads("stays", &["1"]).await;
    hearing.listen("third", &["a"], "").await;
    hearing.until_gap("third", "not_resumed").await;
    hearing.live("third").await;
    hearing.live("stays").await;
    assert_eq!(hearing.gaps("stays").await, before);
}

/// A client with another token, or with its own connection, can use the same cache.
#[tokio::test(flavor = "multi_thread")]
async fn what_changes_comes_later_to_another_client_too() {
    let database = Database::new().await;
    let gateway = TestGateway::on(&database).await;
    let mut hearing = Hearing::on(gateway.address).await;
    comes_and_goes(&mut hearing, "first", "").await;
    database.notify("a", "between").await;
    hearing
        .listen("second", &["a"], "client: pgfan.connect()")
        .await;
    hearing.payloads("second", &["between"]).await;
    hearing.live("second").await;
    // The other client has the channel by now, and nothing is repeated for this one alone.
    hearing.page.run("open.second.close()").await;
    hearing.at_rest().await;
    let mine = "globalThis.mine = pgfan.connect(); listen('stays', ['a'], { client: mine })";
    hearing.page.run(mine).await;
    hearing.live("stays").await;
    hearing.listen("third", &["a"], "client: mine").await;
    hearing.live("third").await;
    assert_eq!(hearing.gaps("third").await, json!(["not_resumed"]));
}

/// Events that the gateway no longer has are a gap, before it is live, and only for this
/// subscription.
#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_come_later_is_a_gap() {
    let database = Database::new().await;
    let gateway = TestGateway::with(&database, &[("history-events", "1")]).await;
    let mut hearing = Hearing::on(gateway.address).await;
    hearing.listen("stays", &["b"], "").await;
    hearing.listen("first", &["a"], "").await;
    hearing.live("first").await;
    hearing.page.run("open.first.close()").await;
    hearing
        .page
        .until("sockets[0].sent.at(-1).type === 'unsubscribe'")
        .await;
    let mut beside = EventStream::open(gateway.address, "/v1/sse?channel=a", &[]).await;
    beside.message().await;
    database.notify_range("a", 1, 9).await;
    while !beside.message().await.data.contains("\"9\"") {}
    hearing.listen("second", &["a"], "").await;
    hearing.live("second").await;
    assert_eq!(
        all(&mut hearing, "second").await,
        json!(["connecting", "gap", "live"])
    );
    assert_eq!(hearing.gaps("second").await, json!(["cursor_too_old"]));
    assert_eq!(hearing.gaps("stays").await, json!([]));
}

/// Another subscription keeps the channel: nothing is repeated for one alone.
#[tokio::test(flavor = "multi_thread")]
async fn what_another_heard_meanwhile_is_a_gap() {
    let database = Database::new().await;
    let gateway = TestGateway::on(&database).await;
    let mut hearing = Hearing::on(gateway.address).await;
    hearing.page.run("globalThis.cache = new Map()").await;
    hearing.listen("stays", &["a"], "").await;
    hearing.listen("named", &["a"], "cache").await;
    hearing.listen("first", &["a"], "").await;
    hearing.live("first").await;
    hearing.page.run("open.first.close()").await;
    // Nothing was missed so far.
    hearing.listen("second", &["a"], "").await;
    hearing.live("second").await;
    hearing.page.run("open.second.close()").await;
    database.notify("a", "1").await;
    hearing.payloads("stays", &["1"]).await;
    hearing.listen("third", &["a"], "").await;
    hearing.live("third").await;
    assert_eq!(all(&mut hearing, "third").await, json!(["gap", "live"]));
    assert_eq!(hearing.gaps("third").await, json!(["not_resumed"]));
    // A cache with another subscription has missed nothing, nor has a new one.
    for (name, options) in [("beside", "cache"), ("new", "cache: {}")] {
        hearing.listen(name, &["a"], options).await;
        hearing.live(name).await;
        assert_eq!(hearing.gaps(name).await, json!([]), "{name}");
    }
    for name in ["stays", "named", "second"] {
        assert_eq!(hearing.gaps(name).await, json!([]), "{name}");
    }
}

/// Two components in turn, each with a cache.
#[tokio::test(flavor = "multi_thread")]
async fn caches_by_turns_miss_nothing() {
    let database = Database::new().await;
    let gateway = TestGateway::on(&database).await;
    let mut hearing = Hearing::on(gateway.address).await;
    let caches = "globalThis.one = {}; globalThis.two = {}";
    hearing.page.run(caches).await;
    for (round, name) in ["unnamed", "one", "two"].into_iter().enumerate() {
        let options = ["", "cache: one", "cache: two"][round];
        comes_and_goes(&mut hearing, name, options).await;
        database.notify("a", &round.to_string()).await;
    }
    // Each from its own position.
    for (name, options, missed) in [
        ("two_again", "cache: two", vec!["2"]),
        ("one_again", "cache: one", vec!["1", "2"]),
        // Without an identity its cache may be that of the first.
        ("new", "", vec!["0", "1", "2"]),
        ("unnamed_again", "", vec!["0", "1", "2"]),
    ] {
        hearing.listen(name, &["a"], options).await;
        hearing.payloads(name, &missed).await;
        hearing.live(name).await;
        assert_eq!(hearing.gaps(name).await, json!([]), "{name}");
        hearing.page.run(&format!("open.{name}.close()")).await;
        hearing.at_rest().await;
    }
    comes_and_goes(&mut hearing, "two_at_last", "cache: two").await;
    hearing.payloads("two_at_last", &[]).await;
}

/// React's behaviour in strict mode: no loss, and one connection.
#[tokio::test(flavor = "multi_thread")]
async fn coming_and_going_in_one_go_is_no_loss() {
    let database = Database::new().await;
    let gateway = TestGateway::on(&database).await;
    let mut hearing = Hearing::on(gateway.address).await;
    let thrice = |name: &str| {
        format!(
            "for (const time of [1, 2, 3]) {{ open.{name}?.close(); listen('{name}', ['a']); }}"
        )
    };
    for (name, payload) in [("first", "1"), ("second", "2")] {
        hearing.page.run(&thrice(name)).await;
        hearing.live(name).await;
        database.notify("a", payload).await;
        hearing.payloads(name, &[payload]).await;
        assert_eq!(hearing.gaps(name).await, json!([]), "{name}");
        // Once live, it stays so.
        let last = format!("heard.{name}.states.slice(-2)");
        let states = hearing.page.eval(&last).await;
        assert!(
            states == json!(["live"]) || states == json!(["connecting", "live"]),
            "{states}"
        );
    }
    assert_eq!(hearing.page.eval("sockets.length").await, 1);
    // The same if all have left before.
    hearing
        .page
        .run("open.first.close(); open.second.close()")
        .await;
    hearing.at_rest().await;
    database.notify("a", "3").await;
    hearing.page.run(&thrice("third")).await;
    hearing.payloads("third", &["3"]).await;
    hearing.live("third").await;
    assert_eq!(hearing.gaps("third").await, json!([]));
}

/// A cache may have received more than it has processed: a handler may fail later.
#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_fails_after_its_close_is_a_gap_later() {
    let database = Database::new().await;
    let gateway = TestGateway::on(&database).await;
    let mut hearing = Hearing::on(gateway.address).await;
    let fails = "onEvent: ({ payload }) => { heard.first.events.push(payload); \
                 return new Promise((_, reject) => { globalThis.fail = reject; }); }";
    hearing.listen("first", &["a"], fails).await;
    hearing.live("first").await;
    database.notify("a", "1").await;
    hearing.payloads("first", &["1"]).await;
    hearing
        .page
        .run("open.first.close(); fail(new Error('mine'))")
        .await;
    hearing.at_rest().await;
    hearing.listen("second", &["a"], "").await;
    hearing.live("second").await;
    assert_eq!(hearing.gaps("second").await, json!(["not_resumed"]));
    assert_eq!(hearing.gaps("first").await, json!([]));
}

/// With any number of channels the page keeps a bounded number of cursors, and a channel
/// without one gets a gap.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_page_has_forgotten_is_a_gap() {
    const ROUNDS: usize = 9;
    let database = Database::new().await;
    let gateway = TestGateway::on(&database).await;
    let mut hearing = Hearing::on(gateway.address).await;
    let channels = |round: usize| (0..128).map(move |n| format!("c{}", round * 128 + n));
    for round in 0..ROUNDS {
        let channels: Vec<_> = channels(round).collect();
        let channels: Vec<_> = channels.iter().map(String::as_str).collect();
        hearing.listen("many", &channels, "").await;
        hearing.live("many").await;
        hearing.page.run("open.many.close()").await;
        hearing.at_rest().await;
    }
    for (name, channel, gaps) in [
        ("first", "c0", json!(["not_resumed"])),
        ("last", "c1151", json!([])),
    ] {
        hearing.listen(name, &[channel], "").await;
        hearing.live(name).await;
        assert_eq!(hearing.gaps(name).await, gaps, "{name}");
    }
}

/// Events that are repeated for a channel that is added later are older than those of the
/// others, and the others must not resume from them.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_goes_on_from_its_newest_event_though_older_ones_are_repeated() {
    let database = Database::new().await;
    let gateway = TestGateway::on(&database).await;
    let mut hearing = Hearing::on(gateway.address).await;
    hearing.page.run("globalThis.cache = {}").await;
    hearing.listen("stays", &["a"], "").await;
    hearing.listen("first", &["b"], "cache").await;
    hearing.live("first").await;
    hearing.live("stays").await;
    hearing.page.run("open.first.close()").await;
    hearing
        .page
        .until("sockets[0].sent.at(-1).type === 'unsubscribe'")
        .await;
    database.notify("b", "missed").await;
    database.notify("a", "1").await;
    hearing.payloads("stays", &["1"]).await;
    // The connection ends during the repeated events, before its `ready`.
    let cuts = "cache, onEvent: ({ payload }) => { \
                if (heard.second.events.push(payload) === 1) sockets[0].close(); }";
    hearing.listen("second", &["b"], cuts).await;
    hearing.has_waited("stays", "disconnected").await;
    hearing.live("stays").await;
    hearing.live("second").await;
    database.notify("a", "2").await;
    hearing.payloads("stays", &["1", "2"]).await;
    hearing.payloads("second", &["missed", "missed"]).await;
    for name in ["stays", "second"] {
        assert_eq!(hearing.gaps(name).await, json!([]), "{name}");
    }
}
