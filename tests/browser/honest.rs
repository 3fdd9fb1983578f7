//! Mistakes of the page itself, none of which loses events silently.

use serde_json::json;

use crate::{
    hearing::Hearing,
    support::{Database, TestGateway},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_fails_has_missed_something() {
    let database = Database::new().await;
    let gateway = TestGateway::on(&database).await;
    let mut hearing = Hearing::on(gateway.address).await;
    let throws = "onEvent: ({ payload }) => { if (payload === 'bad') throw new Error('mine'); \
                  heard.throws.events.push(payload); }";
    hearing.listen("throws", &["a"], throws).await;
    let rejects =
        "onEvent: async ({ payload }) => { if (payload === 'bad') throw new Error('mine'); }";
    hearing.listen("rejects", &["a"], rejects).await;
    hearing.listen("good", &["a"], "").await;
    hearing.live("good").await;
    for payload in ["1", "bad", "2"] {
        database.notify("a", payload).await;
    }
    hearing.payloads("good", &["1", "bad", "2"]).await;
    hearing.payloads("throws", &["1", "2"]).await;
    hearing.until_gap("rejects", "handler_failed").await;
    assert_eq!(hearing.gaps("throws").await, json!(["handler_failed"]));
    assert_eq!(hearing.gaps("good").await, json!([]));
    hearing.live("throws").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_cannot_hear_of_a_gap_is_live_no_longer() {
    let database = Database::new().await;
    let gateway = TestGateway::on(&database).await;
    let mut hearing = Hearing::on(gateway.address).await;
    let fails =
        "onEvent: () => { throw new Error('one') }, onGap: () => { throw new Error('two') }";
    hearing.listen("deaf", &["a"], fails).await;
    hearing.listen("good", &["a"], "").await;
    hearing.live("good").await;
    database.notify("a", "x").await;
    hearing.is("deaf", "closed").await;
    let status = hearing.page.eval("heard.deaf.status").await;
    assert_eq!(
        status,
        json!({"state": "closed", "live": false, "code": "handler_failed", "reason": "Error: two"})
    );
    database.notify("a", "y").await;
    hearing.payloads("good", &["x", "y"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_left_hears_nothing_more() {
    let database = Database::new().await;
    let gateway = TestGateway::on(&database).await;
    let mut hearing = Hearing::on(gateway.address).await;
    // The first handler that is called closes the other subscription before
    // that one's handler is called.
    let closes =
        "onEvent: ({ payload }) => { heard.first.events.push(payload); open.second.close(); }";
    hearing.listen("first", &["a"], closes).await;
    hearing.listen("second", &["a"], "").await;
    hearing.live("second").await;
    for payload in ["1", "2"] {
        database.notify("a", payload).await;
    }
    hearing.payloads("first", &["1", "2"]).await;
    hearing.payloads("second", &[]).await;
    hearing.is_closed("second").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_called_after_its_close() {
    let database = Database::new().await;
    let gateway = TestGateway::on(&database).await;
    let mut hearing = Hearing::on(gateway.address).await;
    // In each state, and from within each handler.
    let closes = "globalThis.late = []; \
        globalThis.closing = (name, when, options) => { \
            let isClosed = false; \
            const handle = (kind) => (said) => { \
                if (isClosed) late.push([name, kind]); \
                if (when(kind, said)) { isClosed = true; open[name].close(); } \
            }; \
            open[name] = pgfan.subscribe('a', { ...options, onEvent: handle('event'), onGap: handle('gap'), onStatus: handle('status') }); \
            if (when('begin')) { isClosed = true; open[name].close(); } \
        }; \
        closing('begin', (kind) => kind === 'begin'); \
        closing('connecting', (kind, said) => said?.state === 'connecting'); \
        closing('live', (kind, said) => said?.live); \
        closing('event', (kind) => kind === 'event'); \
        closing('gap', (kind) => kind === 'gap'); \
        globalThis.give = () => new Promise((resolve) => { globalThis.given = resolve; }); \
        closing('token', (kind, said) => false, { token: give }); \
        listen('stays', ['a'])";
    hearing.page.run(closes).await;
    hearing.live("stays").await;
    hearing
        .page
        .until("open.live.status.state === 'closed' && globalThis.given")
        .await;
    hearing
        .page
        .run("open.token.close(); given('a token')")
        .await;
    database.notify("a", "x").await;
    hearing.payloads("stays", &["x"]).await;
    database.terminate().await;
    hearing.until_gap("stays", "source_lost").await;
    hearing.live("stays").await;
    for name in ["begin", "connecting", "live", "event", "gap", "token"] {
        let state = format!("open.{name}.status.state");
        assert_eq!(hearing.page.eval(&state).await, "closed", "{name}");
    }
    assert_eq!(hearing.page.eval("late").await, json!([]));
    assert_eq!(hearing.page.eval("sockets.length").await, 1);
}

/// A message of the gateway that could not be parsed is requested once more.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_understood_is_not_taken_for_heard() {
    let database = Database::new().await;
    let gateway = TestGateway::on(&database).await;
    let mut hearing = Hearing::on(gateway.address).await;
    hearing.listen("one", &["a"], "").await;
    hearing.live("one").await;
    let parse = "globalThis.parse = JSON.parse; JSON.parse = (text) => { \
                 JSON.parse = parse; throw new SyntaxError('cut short'); }";
    hearing.page.run(parse).await;
    for payload in ["1", "2"] {
        database.notify("a", payload).await;
    }
    hearing.payloads("one", &["1", "2"]).await;
    assert_eq!(hearing.gaps("one").await, json!([]));
    let states = hearing.page.eval("heard.one.states").await;
    assert_eq!(
        states,
        json!([
            "connecting",
            "live",
            "waiting",
            "connecting",
            "connecting",
            "live"
        ])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_to_nothing_is_a_mistake() {
    let database = Database::new().await;
    let gateway = TestGateway::on(&database).await;
    let mut hearing = Hearing::on(gateway.address).await;
    for channels in ["[]", "['']", "[7]", "undefined"] {
        let attempt = format!(
            "try {{ pgfan.subscribe({channels}); }} catch (error) {{ return error.name; }}"
        );
        assert_eq!(hearing.page.run(&attempt).await, "TypeError", "{channels}");
    }
}
