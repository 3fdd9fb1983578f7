//! An application as a bundler builds it: React in strict mode, and third-party
//! libraries for event streams, in a real Vite build.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use serde_json::json;
use tempfile::TempDir;
use tokio::{net::TcpListener, sync::OnceCell};

use crate::support::{
    Database, EventStream, Link, TestGateway,
    browser::{Browser, Page},
    pooler::free_port,
    program::{command, run_within},
};

/// Folder of what `tests/clients/setup` installed.
const MADE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/clients");

/// A build takes a second on an idle machine.
const BUILD_LIMIT: Duration = Duration::from_secs(120);

/// The application in its own folder, with the package beside the libraries as npm
/// installs it.
struct Application {
    folder: TempDir,
}

impl Application {
    async fn build() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let npm = Path::new(MADE).join("npm/node_modules");
        assert!(npm.exists(), "{npm:?} is not there: run `make test`");
        copy(&root.join("tests/browser/app"), folder.path());
        let modules = folder.path().join("node_modules");
        fs::create_dir(&modules).unwrap();
        for entry in fs::read_dir(&npm).unwrap() {
            let path = entry.unwrap().path();
            std::os::unix::fs::symlink(&path, modules.join(path.file_name().unwrap())).unwrap();
        }
        fs::create_dir(modules.join("pgfan")).unwrap();
        copy(&root.join("clients/js"), &modules.join("pgfan"));
        let mut vite = command(Path::new(MADE).join("venv-new/bin/node"));
        vite.arg(npm.join("vite/bin/vite.js"));
        vite.args(["build", "--mode", "development", "--minify", "false"]);
        // React mounts twice in development mode only.
        vite.env("NODE_ENV", "development")
            .env("HOME", folder.path());
        let built = run_within(BUILD_LIMIT, vite.current_dir(folder.path())).await;
        assert!(built.status.success(), "{built:#?}");
        Self { folder }
    }

    /// Built once for all tests.
    async fn get() -> &'static Self {
        static BUILT: OnceCell<Application> = OnceCell::const_new();
        BUILT.get_or_init(Self::build).await
    }

    fn dist(&self) -> PathBuf {
        self.folder.path().join("dist")
    }

    async fn serve(&self) -> SocketAddr {
        let router = Router::new().fallback(file).with_state(self.dist());
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(axum::serve(listener, router).into_future());
        address
    }
}

fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
    }
}

async fn file(State(dist): State<PathBuf>, uri: Uri) -> Response {
    let path = uri.path().trim_start_matches('/');
    let path = if path.is_empty() { "index.html" } else { path };
    let kind = match path.rsplit_once('.') {
        Some((_, "js")) => "text/javascript",
        _ => "text/html",
    };
    match fs::read(dist.join(path)) {
        Ok(bytes) => ([(header::CONTENT_TYPE, kind)], bytes).into_response(),
        Err(_) => StatusCode::NOT_FOUND.into_response(),
    }
}

/// The application's page, and a gateway behind a link.
struct Scene {
    page: Page,
    link: Link,
    database: Database,
    gateway: TestGateway,
    /// A reader that receives everything from the gateway.
    beside: EventStream,
    _browser: Browser,
}

impl Scene {
    async fn new() -> Self {
        let application = Application::get().await.serve().await;
        let origin = format!("http://{application}");
        let database = Database::new().await;
        let gateway = TestGateway::with(&database, &[("allow-origin", &origin)]).await;
        let link = Link::to(gateway.address.port()).await;
        let beside = EventStream::open(gateway.address, "/v1/sse?channel=orders", &[]).await;
        let browser = Browser::start().await;
        let mut page = browser.page().await;
        page.goto(&format!("{origin}/")).await;
        page.until("globalThis.app").await;
        Self {
            page,
            link,
            database,
            gateway,
            beside,
            _browser: browser,
        }
    }

    /// Notifies, and returns when the gateway has it.
    async fn notify(&mut self, payload: &str) {
        self.database.notify("orders", payload).await;
        let payload = format!("\"payload\":\"{payload}\"");
        while !self.beside.message().await.data.contains(&payload) {}
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}/", self.link.port)
    }
}

/// The bundle contains only the module itself, which names no other file.
#[tokio::test(flavor = "multi_thread")]
async fn a_bundle_has_no_stray_copy_of_the_module() {
    let application = Application::get().await;
    let assets = fs::read_dir(application.dist().join("assets")).unwrap();
    let names: Vec<_> = assets
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(names.len(), 1, "{names:?}");
    let bundle = application.dist().join("assets").join(&names[0]);
    let bundle = fs::read_to_string(bundle).unwrap();
    assert!(bundle.contains("not_resumed"));
    assert!(!bundle.contains("data:text/javascript"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cache_of_react_is_right_over_strict_mode_and_routes() {
    let mut scene = Scene::new().await;
    let show = format!("app.show({})", json!(scene.url()));
    scene.page.run(&show).await;
    scene.page.shows("output", "live").await;
    assert_eq!(scene.page.eval("app.seen.mounts").await, 2);
    let fill = "app.seen.cache.set('1', 'old').set('2', 'old')";
    scene.page.run(fill).await;
    scene.page.run("app.show(null)").await;
    scene.page.until("!document.querySelector('output')").await;
    scene.notify("1").await;
    scene.page.run(&show).await;
    scene.page.shows("output", "live").await;
    // Changed values were removed by the time it was live again, and the rest is still
    // there.
    let seen = scene.page.eval("app.seen.staleWhenLive").await;
    assert_eq!(seen, json!(["2"]));
    assert_eq!(scene.page.eval("app.seen.gaps").await, json!([]));
    assert_eq!(scene.page.eval("app.seen.mounts").await, 4);
}

/// `heard` has the types and payloads of all messages, `errors` the failures.
async fn comes_back(start: &str) {
    let mut scene = Scene::new().await;
    let url = format!("{}v1/sse?channel=orders", scene.url());
    let begin = format!(
        "globalThis.heard = []; globalThis.errors = []; globalThis.opened = 0; \
         const url = {}; \
         const hear = ({{ data }}) => {{ \
             try {{ const {{ type, payload }} = JSON.parse(data); heard.push(payload ?? type); }} \
             catch (error) {{ errors.push(String(error)); throw error; }} \
         }}; {start}",
        json!(url)
    );
    scene.page.run(&begin).await;
    scene.page.until("heard.includes('ready')").await;
    scene.notify("1").await;
    scene.page.until("heard.includes('1')").await;
    // A library that reconnects at once reaches no server until there are events to be
    // missed.
    scene.link.lead_to(free_port());
    scene.link.cut();
    scene.notify("missed").await;
    scene.link.lead_to(scene.gateway.address.port());
    scene.page.until("heard.includes('missed')").await;
    scene
        .page
        .until("heard.filter((one) => one === 'ready').length === 2")
        .await;
    scene.notify("3").await;
    scene.page.until("heard.includes('3')").await;
    // It gets the missed events, then that it is up to date, with no further connection.
    let heard = scene.page.eval("heard").await;
    assert_eq!(heard, json!(["ready", "1", "missed", "ready", "3"]));
    assert_eq!(scene.page.eval("errors").await, json!([]));
    assert_eq!(scene.page.eval("opened").await, 2);
}

/// It treats the end of a stream as final, as its documentation says, unless that
/// throws.
#[tokio::test(flavor = "multi_thread")]
async fn fetch_event_source_comes_back() {
    comes_back(
        "libraries.fetchEventSource(url, { onmessage: hear, onopen: async () => { opened += 1; }, \
         onclose: () => { throw new Error('the stream has ended'); } })",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn event_source_polyfill_comes_back() {
    comes_back(
        "globalThis.source = new libraries.EventSourcePolyfill(url); \
         source.onmessage = hear; source.onopen = () => { opened += 1; }",
    )
    .await;
}

/// The browser's own EventSource.
#[tokio::test(flavor = "multi_thread")]
async fn event_source_comes_back() {
    comes_back(
        "globalThis.source = new EventSource(url); \
         source.onmessage = hear; source.onopen = () => { opened += 1; }",
    )
    .await;
}
