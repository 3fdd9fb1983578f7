//! A page with the client, and the messages that it received.

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::support::browser::{Browser, Page};

/// The messages of a subscription are written into `heard` under its name, and
/// so are its statuses; each WebSocket of the page is kept in `sockets`, with
/// what it sent.
const PREPARE: &str = "
    globalThis.sockets = [];
    const Real = WebSocket;
    globalThis.WebSocket = class extends Real {
        sent = [];
        constructor(...all) { super(...all); sockets.push(this); }
        send(text) { this.sent.push(JSON.parse(text)); super.send(text); }
    };
    globalThis.heard = {};
    globalThis.open = {};
    globalThis.listen = (name, channels, options = {}) => {
        const said = (heard[name] = { events: [], gaps: [], states: [], waits: [], all: [], status: {} });
        const subscriber = options.client ?? pgfan;
        open[name] = subscriber.subscribe(channels, {
            onEvent: (event) => { said.events.push(event.payload); said.all.push(event.payload); },
            onGap: (gap) => { said.gaps.push(gap.reason); said.all.push('gap'); },
            onStatus: (status) => {
                said.status = status;
                said.states.push(status.state);
                said.all.push(status.state);
                if (status.state === 'waiting') said.waits.push(status.code);
            },
            ...options,
        });
    };
";

pub struct Hearing {
    pub page: Page,
    _browser: Browser,
}

impl Hearing {
    /// Opens a page of the server at this address, with its module.
    pub async fn on(address: SocketAddr) -> Self {
        Self::at(&format!("http://{address}/")).await
    }

    pub async fn at(url: &str) -> Self {
        let browser = Browser::start().await;
        let mut page = browser.page().await;
        prepare(&mut page, url, url).await;
        Self {
            page,
            _browser: browser,
        }
    }

    /// `options` as JavaScript.
    pub async fn listen(&mut self, name: &str, channels: &[&str], options: &str) {
        let listen = format!(
            "listen({}, {}, {{ {options} }})",
            json!(name),
            json!(channels)
        );
        self.page.eval(&listen).await;
    }

    pub async fn live(&mut self, name: &str) {
        self.is(name, "live").await;
    }

    /// Waits until it is in this state.
    pub async fn is(&mut self, name: &str, state: &str) {
        self.page
            .until(&format!("heard.{name}.status.state === {}", json!(state)))
            .await;
    }

    /// Checks that it was closed by its own `close`, which does not call its
    /// handlers.
    pub async fn is_closed(&mut self, name: &str) {
        let states = format!("[open.{name}.status, heard.{name}.status.state]");
        let states = self.page.eval(&states).await;
        assert_eq!(states[0], json!({"state": "closed", "live": false}));
        assert_ne!(states[1], "closed");
    }

    /// Waits until no connection of the page is open, or about to be.
    pub async fn at_rest(&mut self) {
        self.page
            .until("sockets.every((one) => one.readyState === 3)")
            .await;
    }

    /// It has waited, possibly only for half a second, because of `code`.
    pub async fn has_waited(&mut self, name: &str, code: &str) {
        self.page
            .until(&format!("heard.{name}.waits.includes({})", json!(code)))
            .await;
    }

    /// Waits for this number of payloads, and checks that each came once and in
    /// order.
    pub async fn payloads(&mut self, name: &str, expected: &[&str]) {
        self.page
            .until(&format!("heard.{name}.events.length >= {}", expected.len()))
            .await;
        assert_eq!(
            self.page.eval(&format!("heard.{name}.events")).await,
            json!(expected)
        );
    }

    pub async fn gaps(&mut self, name: &str) -> Value {
        self.page.eval(&format!("heard.{name}.gaps")).await
    }

    pub async fn until_gap(&mut self, name: &str, reason: &str) {
        self.page
            .until(&format!("heard.{name}.gaps.includes({})", json!(reason)))
            .await;
    }

    /// Open WebSockets of the page.
    pub async fn sockets(&mut self) -> Value {
        self.page
            .eval("sockets.filter((one) => one.readyState === 1).length")
            .await
    }
}

/// A page of `server` with the module of `gateway`.
pub async fn prepare(page: &mut Page, server: &str, gateway: &str) {
    page.goto(&format!("{server}healthz")).await;
    page.run(PREPARE).await;
    let import = format!(
        "globalThis.pgfan = await import({})",
        json!(format!("{gateway}pgfan.js"))
    );
    page.run(&import).await;
}
