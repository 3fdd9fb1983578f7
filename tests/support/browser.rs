//! Chromium, driven over its DevTools protocol
//! (<https://chromedevtools.github.io/devtools-protocol/>).

use std::{net::SocketAddr, path::Path, process::Stdio, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use futures_util::{SinkExt, StreamExt};
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_tungstenite::{
    WebSocketStream, client_async_with_config,
    tungstenite::{Message, protocol::WebSocketConfig},
};

use super::{
    environment,
    program::{Program, command},
    within,
};

/// Names of the Chromium binaries that `tests/browser/setup` finds or installs; the
/// headless one is first, because it is the fastest.
const NAMES: [&str; 4] = [
    "chromium-headless-shell",
    "chromium",
    "google-chrome",
    concat!(env!("CARGO_MANIFEST_DIR"), "/target/browser/chromium"),
];

/// A screenshot is one message.
const MAX_MESSAGE: usize = 64 << 20;

/// Interval between two checks of a page; the page needs time for its own work.
const LOOK: Duration = Duration::from_millis(20);

/// Chromium is many processes, and that of Debian is a script that starts them:
/// all are in one process group led by this shell. It ends them at the end of its
/// input, which comes when the process of the tests is gone, for whatever reason.
const TOGETHER: &str = r#""$0" "$@" & read -r _; kill -s KILL 0"#;

/// Chromium; all its processes are killed when it is dropped.
pub struct Browser {
    address: SocketAddr,
    /// Path of the browser's own DevTools endpoint.
    path: String,
    program: Program,
    _profile: TempDir,
}

/// A browser tab.
pub struct Page {
    socket: WebSocketStream<TcpStream>,
    calls: u64,
}

impl Browser {
    /// Process group of all its processes.
    pub fn group(&self) -> u32 {
        self.program.pid()
    }

    pub async fn start() -> Self {
        Self::with(&[]).await
    }

    /// Starts a browser with additional arguments.
    pub async fn with(arguments: &[&str]) -> Self {
        let profile = tempfile::tempdir().unwrap();
        let mut browser = command("/bin/sh");
        browser.args(["-c", TOGETHER, &program()]);
        browser.process_group(0).stdin(Stdio::piped());
        browser.arg(format!("--user-data-dir={}", profile.path().display()));
        browser.env("HOME", profile.path());
        browser.args([
            "--headless",
            "--remote-debugging-port=0",
            // Chromium's sandbox needs rights that a container or root does not
            // have.
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--hide-scrollbars",
            "--no-first-run",
        ]);
        browser.args(arguments).arg("about:blank");
        let mut program = Program::start(&mut browser);
        let (address, path) = program
            .stderr
            .until("DevTools' address", devtools_in_log)
            .await;
        Self {
            address,
            path,
            program,
            _profile: profile,
        }
    }

    /// Opens a tab in a new profile.
    pub async fn page(&self) -> Page {
        let mut browser = self.attach(&self.path).await;
        let context = browser.call("Target.createBrowserContext", json!({})).await;
        let asked = json!({"url": "about:blank", "browserContextId": context["browserContextId"]});
        let target = browser.call("Target.createTarget", asked).await;
        let mut page = self
            .attach(&format!("page/{}", target["targetId"].as_str().unwrap()))
            .await;
        page.call("Page.enable", json!({})).await;
        page
    }

    async fn attach(&self, path: &str) -> Page {
        let url = format!("ws://{}/devtools/{path}", self.address);
        let socket = TcpStream::connect(self.address).await.unwrap();
        let config = WebSocketConfig::default();
        let config = config
            .max_message_size(Some(MAX_MESSAGE))
            .max_frame_size(Some(MAX_MESSAGE));
        let (socket, _) = client_async_with_config(url, socket, Some(config))
            .await
            .unwrap();
        Page { socket, calls: 0 }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let group = self.group().try_into().ok().and_then(Pid::from_raw);
        // It may have ended by itself.
        let _ = kill_process_group(group.unwrap(), Signal::KILL);
    }
}

impl Page {
    /// Sends a command of the protocol and returns its result.
    pub async fn call(&mut self, method: &str, params: Value) -> Value {
        self.calls += 1;
        let id = self.calls;
        let text = json!({"id": id, "method": method, "params": params}).to_string();
        self.socket.send(Message::text(text)).await.unwrap();
        let answer = async {
            loop {
                let message = self.socket.next().await.unwrap().unwrap();
                let Message::Text(text) = message else {
                    continue;
                };
                let mut message: Value = serde_json::from_str(&text).unwrap();
                if message["id"] == id {
                    assert_eq!(message["error"], Value::Null, "{method}");
                    return message["result"].take();
                }
            }
        };
        within(method, answer).await
    }

    pub async fn goto(&mut self, url: &str) {
        let loaded = self.call("Page.navigate", json!({"url": url})).await;
        assert_eq!(loaded["errorText"], Value::Null, "{url}");
        self.until("document.readyState === 'complete'").await;
    }

    /// The value of an expression; a promise is awaited.
    pub async fn eval(&mut self, expression: &str) -> Value {
        let asked = json!({
            "expression": expression,
            "awaitPromise": true,
            "returnByValue": true,
            "userGesture": true,
        });
        let mut result = self.call("Runtime.evaluate", asked).await;
        assert_eq!(
            result["exceptionDetails"],
            Value::Null,
            "{expression}: {result:#}"
        );
        result["result"]["value"].take()
    }

    /// Runs statements, which may await.
    pub async fn run(&mut self, statements: &str) -> Value {
        self.eval(&format!("(async () => {{ {statements} }})()"))
            .await
    }

    /// Waits until an expression is true.
    pub async fn until(&mut self, expression: &str) {
        let is_true = format!("!!({expression})");
        within(expression, async {
            while self.eval(&is_true).await != true {
                tokio::time::sleep(LOOK).await;
            }
        })
        .await;
    }

    pub async fn shows(&mut self, selector: &str, text: &str) {
        let (selector, text) = (json!(selector), json!(text));
        self.until(&format!(
            "document.querySelector({selector})?.textContent.includes({text})"
        ))
        .await;
    }

    /// Scrolls the first match of the selector into view and clicks its middle with
    /// the mouse.
    pub async fn click(&mut self, selector: &str) {
        let middle = format!(
            "(() => {{ const one = document.querySelector({}); one.scrollIntoView({{ block: 'center' }}); \
             const box = one.getBoundingClientRect(); const x = box.x + box.width / 2, y = box.y + box.height / 2; \
             const top = document.elementFromPoint(x, y); \
             return [x, y, one.contains(top) || top?.contains(one) || top?.outerHTML]; }})()",
            json!(selector)
        );
        let at = self.eval(&middle).await;
        assert_eq!(at[2], true, "{selector} is behind something");
        for kind in ["mousePressed", "mouseReleased"] {
            let event =
                json!({"type": kind, "x": at[0], "y": at[1], "button": "left", "clickCount": 1});
            self.call("Input.dispatchMouseEvent", event).await;
        }
    }

    /// Replaces the text of a field by keyboard input.
    pub async fn fill(&mut self, selector: &str, text: &str) {
        self.click(selector).await;
        self.eval(&format!(
            "document.querySelector({}).select()",
            json!(selector)
        ))
        .await;
        self.call("Input.insertText", json!({"text": text})).await;
    }

    /// In CSS pixels.
    pub async fn resize(&mut self, width: u32, height: u32) {
        let size = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600});
        self.call("Emulation.setDeviceMetricsOverride", size).await;
    }

    pub async fn offline(&mut self, offline: bool) {
        self.call("Network.enable", json!({})).await;
        let conditions = json!({"offline": offline, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1});
        self.call("Network.emulateNetworkConditions", conditions)
            .await;
    }

    /// The whole page, as PNG.
    pub async fn screenshot(&mut self, path: &Path) {
        self.eval("scrollTo(0, 0)").await;
        let asked = json!({"format": "png", "captureBeyondViewport": true});
        let shot = self.call("Page.captureScreenshot", asked).await;
        let png = STANDARD.decode(shot["data"].as_str().unwrap()).unwrap();
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, png).unwrap();
    }
}

fn program() -> String {
    let path = environment("PATH").unwrap_or_default();
    let folders: Vec<_> = path.split(':').collect();
    let is_there = |name: &&&str| {
        folders
            .iter()
            .any(|folder| Path::new(folder).join(name).exists())
    };
    let found = NAMES.iter().find(is_there);
    found
        .unwrap_or_else(|| panic!("none of {NAMES:?} is there: run `make test`"))
        .to_string()
}

/// `DevTools listening on ws://127.0.0.1:40471/devtools/browser/…`
fn devtools_in_log(log: &[u8]) -> Option<(SocketAddr, String)> {
    let log = String::from_utf8_lossy(log);
    let (_, rest) = log.split_once("DevTools listening on ws://")?;
    let (address, path) = rest.split_once("/devtools/")?;
    let (path, _) = path.split_once('\n')?;
    Some((address.parse().ok()?, path.to_owned()))
}
