//! The cache of `examples/browser-cache`, on a table.

use std::{net::SocketAddr, sync::Arc};

use axum::{
    Router,
    extract::Path,
    http::{StatusCode, header},
    response::IntoResponse,
    routing::get,
};
use tokio::net::TcpListener;

use crate::support::{
    Database, Link, TestGateway,
    browser::{Browser, Page},
    gateway_process::pgfan,
    program::run,
    within,
};

/// Files of the page, as the repository has them.
const FILES: [(&str, &str, &str); 4] = [
    (
        "/examples/browser-cache/",
        "text/html",
        include_str!("../../examples/browser-cache/index.html"),
    ),
    (
        "/examples/browser-cache/cache.js",
        "text/javascript",
        include_str!("../../examples/browser-cache/cache.js"),
    ),
    (
        "/examples/browser-cache/page.js",
        "text/javascript",
        include_str!("../../examples/browser-cache/page.js"),
    ),
    (
        "/clients/js/pgfan.js",
        "text/javascript",
        include_str!("../../clients/js/pgfan.js"),
    ),
];

/// An application: the page, and the table's values at `/api/orders/ID`.
async fn application(database: Arc<Database>) -> SocketAddr {
    let file = |router: Router, (path, kind, text)| {
        router.route(
            path,
            get(move || async move { ([(header::CONTENT_TYPE, kind)], text) }),
        )
    };
    let value = async move |Path(id): Path<i32>| {
        let row = database
            .client
            .query_opt("SELECT value FROM orders WHERE id = $1", &[&id])
            .await;
        match row {
            Ok(Some(row)) => row.get::<_, String>(0).into_response(),
            _ => StatusCode::NOT_FOUND.into_response(),
        }
    };
    let router = FILES
        .into_iter()
        .fold(Router::new(), file)
        .route("/api/orders/{id}", get(value));
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(axum::serve(listener, router).into_future());
    address
}

async fn reads(page: &mut Page, times: usize, text: &str) {
    page.click("form button").await;
    page.until(&format!(
        "document.querySelectorAll('#reads li').length === {times}"
    ))
    .await;
    page.shows("#reads li:last-child", text).await;
}

/// Reads until the event arrives: before that the old value is correct.
async fn reads_on(page: &mut Page, times: &mut usize, old: &str) {
    let last = "document.querySelector('#reads li:last-child').textContent";
    within("another value", async {
        loop {
            *times += 1;
            reads(page, *times, "").await;
            if page.eval(last).await != old {
                return;
            }
        }
    })
    .await;
}

/// The payload of `pgfan triggers` is JSON, with the rows' keys or without.
#[tokio::test(flavor = "multi_thread")]
async fn it_knows_the_payloads_of_the_projects_own_triggers() {
    let database = Arc::new(Database::new().await);
    let table = "CREATE TABLE orders (id int PRIMARY KEY, value text); INSERT INTO orders VALUES (1, 'one')";
    database.run(table).await;
    let mut triggers = pgfan();
    triggers.args(["triggers", "install", "orders", "--keys", "--commit"]);
    let installed = run(triggers.args(["--database-url", &database.url])).await;
    assert_eq!(installed.status.code(), Some(0), "{installed:?}");
    let application = application(Arc::clone(&database)).await;
    let origin = format!("http://{application}");
    let gateway = TestGateway::with(&database, &[("allow-origin", &origin)]).await;
    let browser = Browser::start().await;
    let mut page = browser.page().await;
    let gateway = gateway.address;
    let query = format!("gateway=http://{gateway}/&channel=orders&api=/api/orders/");
    page.goto(&format!("{origin}/examples/browser-cache/?{query}"))
        .await;
    page.shows("#status", "live").await;
    reads(&mut page, 1, "1 is one (source)").await;
    reads(&mut page, 2, "1 is one (cache)").await;
    let mut times = 2;
    database.run("UPDATE orders SET value = 'two'").await;
    reads_on(&mut page, &mut times, "1 is one (cache)").await;
    page.shows("#reads li:last-child", "1 is two (source)")
        .await;
    times += 1;
    reads(&mut page, times, "1 is two (cache)").await;
    // Which rows are affected is unknown: it may be any.
    database.run("TRUNCATE orders").await;
    reads_on(&mut page, &mut times, "1 is two (cache)").await;
    page.shows("#reads li:last-child", "Error: 1: 404").await;
}

/// JavaScript numbers cannot represent every `bigint`.
#[tokio::test(flavor = "multi_thread")]
async fn no_key_is_taken_for_another() {
    let database = Arc::new(Database::new().await);
    let origin = format!("http://{}", application(Arc::clone(&database)).await);
    let gateway = TestGateway::with(&database, &[("allow-origin", &origin)]).await;
    let browser = Browser::start().await;
    let mut page = browser.page().await;
    page.goto(&format!("{origin}/examples/browser-cache/"))
        .await;
    let prepare = format!(
        "const {{ Cache }} = await import('{origin}/examples/browser-cache/cache.js'); \
         globalThis.version = 1; globalThis.changes = []; \
         globalThis.cache = new Cache('orders', async () => version, {{ \
         url: 'http://{}/', onChange: (payload) => changes.push(payload), \
         onStatus: ({{ live }}) => {{ globalThis.live = live; }} }})",
        gateway.address
    );
    page.run(&prepare).await;
    page.until("globalThis.live").await;
    // As a text and as a number; applications have both.
    for (key, payload) in [
        (
            "'9007199254740993'",
            r#"{"keys": [{"id": 9007199254740993}]}"#,
        ),
        ("'9007199254740993'", r#"{"id": 9007199254740993}"#),
        ("'9007199254740993'", "9007199254740993"),
        (
            "'0.30000000000000000001'",
            r#"{"id": 0.30000000000000000001}"#,
        ),
        ("5", r#"{"keys": [{"id": 5}]}"#),
        ("5", "5"),
    ] {
        let read = format!("return (await cache.read({key})).value");
        let before = page.run(&read).await;
        page.run("version += 1; changes.length = 0").await;
        database.notify("orders", payload).await;
        page.until("changes.length === 1").await;
        assert_ne!(page.run(&read).await, before, "{key} {payload}");
    }
}

/// PostgreSQL finds the row, but its event spells the key differently.
#[tokio::test(flavor = "multi_thread")]
async fn a_value_is_kept_under_its_own_key_alone() {
    let database = Arc::new(Database::new().await);
    let origin = format!("http://{}", application(Arc::clone(&database)).await);
    let gateway = TestGateway::with(&database, &[("allow-origin", &origin)]).await;
    let browser = Browser::start().await;
    let mut page = browser.page().await;
    page.goto(&format!("{origin}/examples/browser-cache/"))
        .await;
    let prepare = format!(
        "const {{ Cache }} = await import('{origin}/examples/browser-cache/cache.js'); \
         globalThis.cache = new Cache('orders', async (key) => ({{ id: key.toLowerCase() }}), {{ \
         url: 'http://{}/', onStatus: ({{ live }}) => {{ globalThis.live = live; }} }})",
        gateway.address
    );
    page.run(&prepare).await;
    page.until("globalThis.live").await;
    for (key, from) in [("0D9F", "source"), ("0d9f", "cache")] {
        let read = format!("return (await cache.read('{key}')).from");
        assert_eq!(page.run(&read).await, "source", "{key}");
        assert_eq!(page.run(&read).await, from, "{key}");
    }
    // The page's own write.
    page.run("cache.drop('0d9f')").await;
    let read = "return (await cache.read('0d9f')).from";
    assert_eq!(page.run(read).await, "source");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cache_is_right_or_knows_that_it_may_not_be() {
    let database = Arc::new(Database::new().await);
    database
        .run(
            "CREATE TABLE orders (id int PRIMARY KEY, value text);
             INSERT INTO orders VALUES (1, 'one');
             CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS
             $$ BEGIN PERFORM pg_notify('orders', NEW.id::text); RETURN NULL; END $$;
             CREATE TRIGGER tell AFTER UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION tell();",
        )
        .await;
    let application = application(Arc::clone(&database)).await;
    let origin = format!("http://{application}");
    let gateway = TestGateway::with(&database, &[("allow-origin", &origin)]).await;
    let link = Link::to(gateway.address.port()).await;
    let browser = Browser::start().await;
    let mut page = browser.page().await;
    let url = format!(
        "{origin}/examples/browser-cache/?gateway=http://127.0.0.1:{}/&channel=orders&api=/api/orders/&keepalive=2",
        link.port
    );
    page.goto(&url).await;
    page.shows("#status", "live").await;
    reads(&mut page, 1, "1 is one (source)").await;
    reads(&mut page, 2, "1 is one (cache)").await;
    database.run("UPDATE orders SET value = 'two'").await;
    let mut times = 2;
    reads_on(&mut page, &mut times, "1 is one (cache)").await;
    page.shows("#reads li:last-child", "1 is two (source)")
        .await;

    // Without the connection, it answers from the source alone, and continues
    // afterwards.
    link.freeze();
    page.until("!document.querySelector('#status').textContent.startsWith('live')")
        .await;
    database.run("UPDATE orders SET value = 'three'").await;
    times += 1;
    reads(&mut page, times, "1 is three (bypass)").await;
    link.thaw();
    page.shows("#status", "live").await;
    reads_on(&mut page, &mut times, "1 is two (cache)").await;
    page.shows("#reads li:last-child", "1 is three (source)")
        .await;
    reads(&mut page, times + 1, "1 is three (cache)").await;
}
