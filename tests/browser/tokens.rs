//! Tokens, and channels that they do not grant.

use serde_json::{Value, json};

use crate::{
    hearing::Hearing,
    no_upgrade::NoUpgrade,
    support::{Database, TestGateway, gateway_process::pgfan, program::run},
};

const SECRET: &str = "a secret of the browser's tests, long enough";
const WITH_TOKENS: (&str, &str) = ("token-secret", SECRET);

/// A token for reading these channels for this number of seconds.
async fn token(channels: &[&str], seconds: u64) -> String {
    let expires = format!("{seconds}s");
    let subscribe = channels.iter().flat_map(|name| ["--subscribe", name]);
    let arguments: Vec<_> = subscribe.chain(["--expires", &expires]).collect();
    made(SECRET, &arguments).await
}

/// A token by `pgfan token`.
pub async fn made(secret: &str, arguments: &[&str]) -> String {
    let mut command = pgfan();
    command.env("PGFAN_TOKEN_SECRET", secret).arg("token");
    let ended = run(command.args(arguments)).await;
    assert!(ended.status.success(), "{ended:?}");
    ended.stdout.trim().to_owned()
}

/// Installs a function that returns these tokens one after the other, the last one
/// repeatedly; its arguments are kept in `asked`.
async fn hands_out(hearing: &mut Hearing, tokens: &[String]) {
    let hand_out = format!(
        "globalThis.asked = []; globalThis.tokens = {}; globalThis.first = tokens[0]; \
         globalThis.give = async ({{ refused }}) => {{ asked.push(refused); \
         return tokens.length > 1 ? tokens.shift() : tokens[0]; }}",
        json!(tokens)
    );
    hearing.page.run(&hand_out).await;
}

async fn status(hearing: &mut Hearing, name: &str) -> Value {
    hearing.page.eval(&format!("heard.{name}.status")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_renewed_on_the_same_connection() {
    let database = Database::new().await;
    let gateway = TestGateway::with(&database, &[WITH_TOKENS]).await;
    let mut hearing = Hearing::on(gateway.address).await;
    let tokens = [token(&["a"], 4).await, token(&["a"], 3600).await];
    hands_out(&mut hearing, &tokens).await;
    hearing.listen("one", &["a"], "token: give").await;
    hearing.live("one").await;
    hearing.page.until("asked.length === 2").await;
    let is_over = "Date.now() > 1000 * JSON.parse(atob(first.split('.')[1])).exp + 100";
    hearing.page.until(is_over).await;
    database.notify("a", "after the first token's end").await;
    hearing
        .payloads("one", &["after the first token's end"])
        .await;
    assert_eq!(hearing.page.eval("asked").await, json!([false, false]));
    assert_eq!(
        hearing.page.eval("heard.one.states").await,
        json!(["connecting", "live"])
    );
    assert_eq!(hearing.page.eval("sockets.length").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_sse_stream_comes_back_with_the_next_token() {
    let database = Database::new().await;
    let gateway = TestGateway::with(&database, &[WITH_TOKENS]).await;
    let proxy = NoUpgrade::to(gateway.address.port()).await;
    let mut hearing = Hearing::on(proxy.address).await;
    let tokens = [
        token(&["a"], 3).await,
        token(&["a"], 3).await,
        token(&["a"], 3600).await,
    ];
    hands_out(&mut hearing, &tokens).await;
    hearing.listen("one", &["a"], "token: give").await;
    hearing.live("one").await;
    hearing.has_waited("one", "unauthenticated").await;
    database.notify("a", "between two tokens").await;
    hearing.live("one").await;
    hearing.payloads("one", &["between two tokens"]).await;
    assert_eq!(hearing.gaps("one").await, json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_new_token_it_does_not_come_back() {
    let database = Database::new().await;
    let gateway = TestGateway::with(&database, &[WITH_TOKENS]).await;
    let mut hearing = Hearing::on(gateway.address).await;
    // None, an invalid one, and a function that has no other.
    hearing.listen("none", &["a"], "").await;
    hearing.listen("bad", &["a"], "token: 'bad'").await;
    hearing.page.run("globalThis.bad = () => 'bad'").await;
    hearing.listen("again", &["a"], "token: bad").await;
    for name in ["none", "bad", "again"] {
        hearing.is(name, "refused").await;
        assert_eq!(
            status(&mut hearing, name).await["code"],
            "unauthenticated",
            "{name}"
        );
    }
    // Events that wake a waiting client do not wake a refused one.
    let made = hearing.page.eval("sockets.length").await;
    let wake = "dispatchEvent(new Event('online')); document.dispatchEvent(new Event('visibilitychange')); \
                dispatchEvent(new Event('pageshow'))";
    hearing.page.run(wake).await;
    hearing.is("bad", "refused").await;
    assert_eq!(hearing.page.eval("sockets.length").await, made);

    // A valid token brings it back.
    let client = format!(
        "globalThis.client = pgfan.connect({{ token: 'bad' }}); globalThis.good = {}",
        json!(token(&["a"], 3600).await)
    );
    hearing.page.run(&client).await;
    hearing.listen("later", &["a"], "client").await;
    hearing.is("later", "refused").await;
    hearing.page.run("client.setToken(good)").await;
    hearing.live("later").await;
    database.notify("a", "x").await;
    hearing.payloads("later", &["x"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_token_is_asked_for_anew() {
    let database = Database::new().await;
    let gateway = TestGateway::with(&database, &[WITH_TOKENS]).await;
    let mut hearing = Hearing::on(gateway.address).await;
    hands_out(&mut hearing, &["bad".into(), token(&["a"], 3600).await]).await;
    hearing.listen("one", &["a"], "token: give").await;
    hearing.live("one").await;
    assert_eq!(hearing.page.eval("asked").await, json!([false, true]));
}

/// On both transports, and the others continue.
#[tokio::test(flavor = "multi_thread")]
async fn a_channel_that_is_not_the_tokens_is_refused_alone() {
    let database = Database::new().await;
    let gateway = TestGateway::with(&database, &[WITH_TOKENS]).await;
    let proxy = NoUpgrade::to(gateway.address.port()).await;
    let good = json!(token(&["a.*"], 3600).await);
    for address in [gateway.address, proxy.address] {
        let mut hearing = Hearing::on(address).await;
        hearing.page.run(&format!("globalThis.good = {good}")).await;
        let all = "listen('mine', ['a.1', 'a.2'], { token: good }); listen('other', ['b', 'a.1'], { token: good }); \
                   listen('mixed', ['a.3'], { token: good })";
        hearing.page.run(all).await;
        hearing.is("other", "refused").await;
        assert_eq!(status(&mut hearing, "other").await["code"], "forbidden");
        hearing.live("mine").await;
        hearing.live("mixed").await;
        database.notify("a.1", "x").await;
        hearing.payloads("mine", &["x"]).await;
        assert_eq!(hearing.gaps("mine").await, json!([]));
    }
}

/// Events that were missed while the token did not grant the channel are reported as a
/// gap.
#[tokio::test(flavor = "multi_thread")]
async fn a_channel_that_comes_back_has_a_gap() {
    let database = Database::new().await;
    let gateway = TestGateway::with(&database, &[WITH_TOKENS]).await;
    let mut hearing = Hearing::on(gateway.address).await;
    let (both, one) = (token(&["a", "b"], 3600).await, token(&["a"], 3600).await);
    let client = format!(
        "globalThis.both = {}; globalThis.one = {}; globalThis.client = pgfan.connect({{ token: both }})",
        json!(both),
        json!(one)
    );
    hearing.page.run(&client).await;
    hearing.listen("a", &["a"], "client").await;
    hearing.listen("b", &["b"], "client").await;
    hearing.live("b").await;
    hearing.page.run("client.setToken(one)").await;
    hearing.is("b", "refused").await;
    database.notify("b", "unheard").await;
    database.notify("a", "heard").await;
    hearing.payloads("a", &["heard"]).await;
    hearing.page.run("client.setToken(both)").await;
    hearing.live("b").await;
    assert_eq!(hearing.gaps("b").await, json!(["not_resumed"]));
    assert_eq!(hearing.gaps("a").await, json!([]));
    database.notify("b", "heard").await;
    hearing.payloads("b", &["heard"]).await;
    assert_eq!(
        hearing.page.eval("heard.b.all.slice(-3)").await,
        json!(["gap", "live", "heard"])
    );
}

/// A client with a token that is no longer valid, and one with a valid token.
async fn client_and_good(hearing: &mut Hearing, first: &str) {
    let (first, good) = (json!(first), json!(token(&["a"], 3600).await));
    let client = format!(
        "globalThis.client = pgfan.connect({{ token: {first} }}); globalThis.good = {good}"
    );
    hearing.page.run(&client).await;
}

/// A connection that is being opened still uses the previous one.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_comes_while_it_connects_is_used() {
    let database = Database::new().await;
    let gateway = TestGateway::with(&database, &[WITH_TOKENS]).await;
    let mut hearing = Hearing::on(gateway.address).await;
    client_and_good(&mut hearing, "bad").await;
    let begin = "listen('one', ['a'], { client }); while (!sockets.length) await null; \
                 client.setToken(good)";
    hearing.page.run(begin).await;
    hearing.live("one").await;
}

/// While the last one is checked. And no timeout of an attempt remains that would end
/// the next.
#[tokio::test(flavor = "multi_thread")]
async fn a_handler_may_hand_in_a_token() {
    let database = Database::new().await;
    let gateway = TestGateway::with(&database, &[WITH_TOKENS]).await;
    let mut hearing = Hearing::on(gateway.address).await;
    client_and_good(&mut hearing, "bad").await;
    let limits = "globalThis.limits = new Set(); const [begin, end] = [setTimeout, clearTimeout]; \
        globalThis.setTimeout = (act, pause, ...all) => { \
            const id = begin(act, pause, ...all); if (pause === 10_000) limits.add(id); return id; }; \
        globalThis.clearTimeout = (id) => { limits.delete(id); end(id); }";
    hearing.page.run(limits).await;
    let both = "listen('one', ['a'], { client }); client.subscribe('a', \
        { onStatus: ({ state }) => state === 'connecting' && client.setToken(good) })";
    hearing.page.run(both).await;
    hearing.live("one").await;
    assert_eq!(hearing.page.eval("limits.size").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_sse_stream_goes_on_with_another_token() {
    let database = Database::new().await;
    let gateway = TestGateway::with(&database, &[WITH_TOKENS]).await;
    let proxy = NoUpgrade::to(gateway.address.port()).await;
    let mut hearing = Hearing::on(proxy.address).await;
    client_and_good(&mut hearing, &token(&["a", "b"], 3600).await).await;
    let both = "listen('one', ['a'], { client }); listen('other', ['b'], { client })";
    hearing.page.run(both).await;
    hearing.live("other").await;
    hearing.page.run("client.setToken(good)").await;
    hearing.is("other", "refused").await;
    hearing.live("one").await;
    database.notify("a", "x").await;
    hearing.payloads("one", &["x"]).await;
    assert_eq!(hearing.gaps("one").await, json!([]));
}

/// No refusal of the previous token remains.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_last_token_was_refused_the_next_one_is_not() {
    let database = Database::new().await;
    let gateway = TestGateway::with(&database, &[WITH_TOKENS]).await;
    let mut hearing = Hearing::on(gateway.address).await;
    client_and_good(&mut hearing, &token(&["b"], 3600).await).await;
    hearing.listen("other", &["b"], "client").await;
    hearing.live("other").await;
    // The question is in flight, and the answer is for the previous token.
    let both = "listen('one', ['a'], { client }); await null; await null; \
                client.setToken(good)";
    hearing.page.run(both).await;
    hearing.live("one").await;
    hearing.is("other", "refused").await;
}

/// Every new token would be expired too: the function is not called repeatedly.
#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_ahead_asks_for_no_token_after_the_other() {
    let database = Database::new().await;
    let gateway = TestGateway::with(&database, &[WITH_TOKENS]).await;
    let mut hearing = Hearing::on(gateway.address).await;
    hands_out(&mut hearing, &[token(&["a"], 3600).await]).await;
    let ahead = "const now = Date.now; Date.now = () => now() + 7200e3; \
                 const later = setTimeout; globalThis.pauses = []; globalThis.setTimeout = \
                 (act, pause, ...all) => { pauses.push(pause); return later(act, pause, ...all); }";
    hearing.page.run(ahead).await;
    hearing.listen("one", &["a"], "token: give").await;
    hearing.live("one").await;
    assert_eq!(hearing.page.eval("pauses").await, json!([10_000]));
    assert_eq!(hearing.page.eval("asked").await, json!([false]));
}
