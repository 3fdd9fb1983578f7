use std::{net::SocketAddr, time::Duration};

use futures_util::future::join_all;
use serde_json::json;
use tokio::{
    io::{AsyncWriteExt, copy, sink},
    task::JoinHandle,
    time::{Instant, MissedTickBehavior, interval},
};

use crate::{
    PROCESSOR,
    besieged::Besieged,
    guests::{connect, loopback},
    large::client_frame,
    support::{
        Database, Link, Reader, WebSocket, Wire,
        gateway_process::{GatewayProcess, pgfan, upgrade},
        get, until,
    },
    tap::Tap,
};

const OF_ONE: usize = 128;

/// Clients that each ask for as many channels as allowed: together some batches.
const CROWD: usize = 60;

/// A gateway behind a link to the server that can be frozen, and a tap.
struct Held {
    gateway: GatewayProcess,
    link: Link,
    tap: Tap,
}

impl Held {
    async fn new() -> Self {
        let database = Database::new().await;
        let (head, name) = database.url.rsplit_once('/').unwrap();
        let (user, port) = head.rsplit_once(':').unwrap();
        let link = Link::to(port.parse().unwrap()).await;
        let tap = Tap::on(&format!("{user}:{}/{name}", link.port)).await;
        let mut command = pgfan();
        command.env("PGFAN_DATABASE_URL", &tap.url);
        let patience = ["--heartbeat-timeout", "15s", "--linger", "0s"];
        let gateway = GatewayProcess::serve(command.arg("serve").args(patience)).await;
        gateway.ready().await;
        Self { gateway, link, tap }
    }

    /// Waits for this number of channels: subscribed, or not given up yet.
    async fn channels(&self, count: usize) {
        let line = format!("pgfan_channels {count}\n");
        until(&line, || async {
            let answer = get(self.gateway.address, "/metrics", &[]).await;
            String::from_utf8_lossy(&answer.body).contains(&line)
        })
        .await;
    }

    /// Batches of LISTENs and UNLISTENs that were sent.
    fn batches(&self) -> Vec<String> {
        let mut queries = self.tap.seen().queries.clone();
        queries.retain(|query| query.starts_with("LISTEN") || query.starts_with("UNLISTEN"));
        queries
    }

    /// From now on answers are slow; returns when one more batch was sent, and
    /// freezes the link before the next.
    async fn after_a_batch(&self) {
        let before = self.batches().len();
        self.link.delay(Duration::from_millis(200));
        self.link.thaw();
        until("another batch", || async { self.batches().len() > before }).await;
        self.link.freeze();
    }

    /// A client that subscribes to a channel now gets it with the next batch that
    /// is built: one more may have been on its way to the tap.
    async fn newcomer_is_next(&self, channel: &str, others: usize) {
        let address = self.gateway.address;
        let mut newcomer = Reader::open(Wire::WebSocket, address, &[channel], None).await;
        self.channels(others + 1).await;
        let before = self.batches().len();
        self.link.thaw();
        newcomer.ready().await;
        let listen = format!("LISTEN \"{channel}\"");
        let with_it = |batch: &String| batch.contains(&listen);
        let of_newcomer = self.batches().iter().position(with_it).unwrap();
        let waited = of_newcomer + 1 - before;
        assert!(waited <= 2, "{channel} is in batch {waited} from now on");
    }
}

async fn crowd(address: SocketAddr) -> Vec<WebSocket> {
    let sockets = (0..CROWD).map(|n| async move {
        let from = loopback(2 + u8::try_from(n).unwrap());
        let names = (0..OF_ONE).map(|channel| format!("channel={n}.{channel}"));
        let path = format!("/v1/ws?{}", names.collect::<Vec<_>>().join("&"));
        let socket = connect(from, address).await;
        WebSocket::over(socket, &path).await.unwrap()
    });
    join_all(sockets).await
}

/// The backlog comes from the frozen link, so the result does not depend on the
/// machine.
#[tokio::test(flavor = "multi_thread")]
async fn a38_a_newcomer_waits_for_no_backlog_of_others() {
    let held = Held::new().await;
    held.link.freeze();
    let crowd = crowd(held.gateway.address).await;
    let channels = CROWD * OF_ONE;
    held.channels(channels).await;
    held.after_a_batch().await;
    held.newcomer_is_next("beside LISTENs", channels).await;
    held.link.delay(Duration::ZERO);
    let asked_for = |tap: &Tap| tap.seen().statements("LISTEN ") > channels + 1;
    until("all are asked for", || async { asked_for(&held.tap) }).await;
    // And now all of them leave.
    held.link.freeze();
    drop(crowd);
    // The first newcomer has left as well.
    held.channels(0).await;
    held.after_a_batch().await;
    held.newcomer_is_next("beside UNLISTENs", 0).await;
    held.gateway.stop().await;
}

/// Messages of one client, within its rate.
const MESSAGES: usize = 2;
const EVERY: Duration = Duration::from_millis(10);

/// Clients that together ask for as many names at once as may be listened to: 5,000
/// of each, by default.
const CHURNING: u8 = 8;

/// A client that subscribes to new names and gives them back, whatever the gateway
/// answers.
async fn churn(client: u8, address: SocketAddr) -> JoinHandle<()> {
    let mut socket = connect(loopback(client), address).await;
    socket
        .write_all(upgrade("/v1/ws").as_bytes())
        .await
        .unwrap();
    let (mut hears, mut says) = socket.into_split();
    let frames = (0..).flat_map(move |n| {
        let name = |m| format!("churn.{client}.{n}.{m}");
        let names: Vec<_> = (0..OF_ONE).map(name).collect();
        ["subscribe", "unsubscribe"].map(|say| {
            let say = json!({"type": say, "channels": names}).to_string();
            client_frame(0x81, say.len() as u64, say.as_bytes())
        })
    });
    tokio::spawn(async move {
        let says = async move {
            let mut ticks = interval(EVERY);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let mut frames = frames;
            loop {
                ticks.tick().await;
                for frame in frames.by_ref().take(MESSAGES) {
                    if says.write_all(&frame).await.is_err() {
                        return;
                    }
                }
            }
        };
        let mut nowhere = sink();
        tokio::select! {
            () = says => {}
            _ = copy(&mut hears, &mut nowhere) => {}
        }
    })
}

/// Default limit of channels, plus some that are given up in the same batch in
/// which others are added.
const LISTENED_TO: usize = 10_000 + 1000;

/// Names that PostgreSQL compares for one batch: at most 1,000 LISTENs and as many
/// UNLISTENs, with 3,000 names and those that are added.
const COMPARISONS: usize = 8_000_000;

/// Checks that PostgreSQL can forward notifications soon enough, independently of
/// the machine: it forwards none within a batch.
fn all_batches_are_small(tap: &Tap) {
    let mut listened_to = 0;
    for query in &tap.seen().queries {
        let count = |verb| query.lines().filter(|line| line.starts_with(verb)).count();
        let (listens, unlistens) = (count("LISTEN "), count("UNLISTEN "));
        listened_to += listens;
        let comparisons = (listens + unlistens) * listened_to;
        assert!(
            comparisons <= COMPARISONS,
            "{listens} LISTENs and {unlistens} UNLISTENs with {listened_to} channels"
        );
        listened_to -= unlistens;
        assert!(listened_to <= LISTENED_TO, "{listened_to} channels");
    }
}

/// Number of LISTENs: more than the limit of channels, so that others are given up.
const CHURNED: usize = 30_000;

#[tokio::test(flavor = "multi_thread")]
async fn a38_names_that_come_and_go_keep_nobody_waiting() {
    let _alone = PROCESSOR.lock().await;
    // A new session repeats its LISTENs in larger batches.
    let flags = ["--heartbeat-timeout", "30s"];
    let (mut besieged, tap) = Besieged::tapped(&flags).await;
    let address = besieged.address();
    let churning = join_all((0..CHURNING).map(|n| churn(2 + n, address))).await;
    let (mut ready, mut heard) = (Vec::new(), Vec::new());
    while tap.seen().statements("LISTEN ") < CHURNED {
        let channel = format!("new {}", ready.len());
        let begun = Instant::now();
        let mut reader = Reader::open(Wire::WebSocket, address, &[&channel], None).await;
        reader.ready().await;
        ready.push(begun.elapsed());
        let begun = Instant::now();
        besieged.database.notify(&channel, "heard").await;
        assert_eq!(reader.event().await.1, "heard");
        heard.push(begun.elapsed());
        besieged.others_are_served().await;
    }
    assert!(churning.iter().all(|client| !client.is_finished()));
    churning.iter().for_each(JoinHandle::abort);
    for (what, times) in [("ready", &mut ready), ("heard", &mut heard)] {
        times.sort_unstable();
        let (half, p99) = (times[times.len() / 2], times[times.len() * 99 / 100]);
        eprintln!(
            "{what} {} times: half in {half:?}, p99 {p99:?}",
            times.len()
        );
    }
    all_batches_are_small(&tap);
    besieged.others_are_served().await;
    besieged.gateway.stop().await;
}
