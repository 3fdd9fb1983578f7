//! Channels that a reload of the gateway removes while the page has requests in
//! flight.

use std::fs;

use serde_json::json;
use tempfile::NamedTempFile;

use crate::{
    hearing::Hearing,
    support::{
        Database, Link,
        gateway_process::{GatewayProcess, pgfan},
        get, until,
    },
};

/// A gateway, a page that is live on `a` and `b`, and the link between.
struct Scene {
    database: Database,
    settings: NamedTempFile,
    gateway: GatewayProcess,
    link: Link,
    hearing: Hearing,
}

impl Scene {
    async fn new() -> Self {
        let database = Database::new().await;
        let settings = NamedTempFile::new().unwrap();
        fs::write(settings.path(), "channels = 'a,b,c'").unwrap();
        let mut command = pgfan();
        command.args(["serve", "--database-url", &database.url, "--config"]);
        let gateway = GatewayProcess::serve(command.arg(settings.path())).await;
        gateway.ready().await;
        let link = Link::to(gateway.address.port()).await;
        let mut hearing = Hearing::at(&format!("http://127.0.0.1:{}/", link.port)).await;
        for channel in ["a", "b"] {
            hearing.listen(channel, &[channel], "").await;
            hearing.live(channel).await;
        }
        Self {
            database,
            settings,
            gateway,
            link,
            hearing,
        }
    }

    /// The page acts while `a` is removed: neither side has received the
    /// other's message when it acts.
    async fn while_a_is_taken_away(&mut self, page: &str) {
        self.link.freeze();
        let sent = self.sent().await;
        self.hearing.page.run(page).await;
        let has_asked = format!("sockets[0].sent.length > {sent}");
        self.hearing.page.until(&has_asked).await;
        fs::write(self.settings.path(), "channels = 'b,c'").unwrap();
        self.gateway.program.signal("HUP").await;
        let address = self.gateway.address;
        until("the page was told", || async {
            let metrics = get(address, "/metrics", &[]).await;
            let metrics = String::from_utf8_lossy(&metrics.body);
            metrics.contains("pgfan_refusals_total{code=\"forbidden\"} 1\n")
        })
        .await;
        self.link.thaw();
    }

    async fn sent(&mut self) -> u64 {
        let sent = self.hearing.page.eval("sockets[0].sent.length").await;
        sent.as_u64().unwrap()
    }
}

/// The gateway's message about `a` is not its answer about `b`.
#[tokio::test(flavor = "multi_thread")]
async fn who_loses_its_channel_while_another_is_left_is_live_no_more() {
    let mut scene = Scene::new().await;
    scene.while_a_is_taken_away("open.b.close()").await;
    scene.hearing.is("a", "refused").await;
    let code = scene.hearing.page.eval("heard.a.status.code").await;
    assert_eq!(code, "forbidden");
    // A new subscription to the other channel is not refused for it.
    scene.hearing.listen("later", &["b"], "").await;
    scene.hearing.live("later").await;
    scene.database.notify("b", "x").await;
    scene.hearing.payloads("later", &["x"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_that_is_taken_away_refuses_no_other_that_is_asked_for() {
    let mut scene = Scene::new().await;
    scene.while_a_is_taken_away("listen('c', ['c'])").await;
    scene.hearing.is("a", "refused").await;
    scene.hearing.live("c").await;
    scene.database.notify("c", "x").await;
    scene.hearing.payloads("c", &["x"]).await;
    let states = scene.hearing.page.eval("heard.c.states").await;
    assert_eq!(states, json!(["connecting", "live"]));
}
