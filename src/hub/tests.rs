//! The hub in memory, on a paused clock: apply, await, compare.

mod cursors;
mod direct_slots;
#[cfg(feature = "otlp")]
mod followed;
mod limits;
mod model;
mod overtaken;
mod readiness;
mod reload;
mod shares;

use futures_util::FutureExt;
use tokio_stream::StreamExt;

use super::*;
use crate::{
    channel_demand::{Generation, ListenRequest},
    event::{ChannelName, GapReason, Notification, WireName},
};

const EPOCH_TIME: SystemTime = SystemTime::UNIX_EPOCH;

/// A hub with a source that answers LISTEN requests at once.
struct Fixture {
    hub: Hub,
    demand: Demand,
}

impl Fixture {
    fn new(config: Config) -> Self {
        let demand = Demand::default();
        let hub = Hub::new(config, demand.clone());
        Self { hub, demand }
    }

    fn live(config: Config) -> Self {
        let fixture = Self::new(config);
        fixture.hub.ingest(|intake| intake.live(false));
        fixture
    }

    /// Answers the LISTEN requests; returns the channels to UNLISTEN.
    fn obey(&self) -> Vec<ChannelName> {
        let wishes = self.demand.changed().now_or_never().unwrap_or_default();
        let mut unlisten = Vec::new();
        self.hub.ingest(|intake| {
            for (name, wish) in wishes {
                match wish {
                    ListenRequest::Listen(generation, _) => intake.listening(&name, generation),
                    ListenRequest::Unlisten => unlisten.push(name),
                }
            }
        });
        unlisten
    }

    fn notify(&self, channel: &str, payload: &str) {
        self.hub
            .ingest(|intake| intake.notification(notification(channel, payload)));
    }

    fn lose(&self) {
        self.hub.ingest(|intake| intake.interrupted(EPOCH_TIME));
    }

    fn subscribe(&self, channels: &[&str], cursor: Option<Cursor>) -> Subscription {
        let mut subscription = self.hub.subscribe(WireName::WebSocket, CLIENT).unwrap();
        subscription.join(&names(channels), cursor).unwrap();
        self.obey();
        subscription
    }

    /// A ready reader: from here on no event may be missing.
    fn reader(&self, channels: &[&str]) -> Subscription {
        let mut reader = self.subscribe(channels, None);
        assert_eq!(now(&mut reader), [format!("ready {channels:?}")]);
        reader
    }
}

fn notification(channel: &str, payload: &str) -> Notification {
    Notification {
        channel: channel.into(),
        payload: payload.into(),
    }
}

fn names(channels: &[&str]) -> Vec<ChannelName> {
    let names = channels.iter().map(|name| ChannelName::new(name).unwrap());
    names.collect()
}

/// The available deliveries, as short texts.
fn now(subscription: &mut Subscription) -> Vec<String> {
    std::iter::from_fn(|| subscription.next().now_or_never())
        .take_while(Option::is_some)
        .map(|item| match item.unwrap() {
            Ok(Delivery::Ready { channels, .. }) => format!("ready {channels:?}"),
            Ok(Delivery::Event(event)) => format!("{:?} {}", event.channel, event.payload),
            Ok(Delivery::Gap { reason, .. }) => reason.as_str().to_owned(),
            Ok(Delivery::Interrupted { .. }) => "interrupted".to_owned(),
            Ok(Delivery::Live { .. }) => "live".to_owned(),
            Err(ended) => ended.to_string(),
        })
        .collect()
}

/// The last cursor among the available deliveries.
fn last_cursor(subscription: &mut Subscription) -> Option<Cursor> {
    let there = std::iter::from_fn(|| subscription.next().now_or_never().flatten());
    let ids = there.filter_map(|item| match item.unwrap() {
        Delivery::Ready { cursor, .. } | Delivery::Live { cursor } => Some(cursor),
        Delivery::Event(event) => Some(event.id),
        Delivery::Gap { id, .. } => Some(id),
        Delivery::Interrupted { .. } => None,
    });
    ids.last().map(Cursor::At)
}

fn small_history(events: usize) -> Config {
    let mut config = Config::default();
    config.history.events = events;
    config
}

#[tokio::test(start_paused = true)]
async fn a_reader_is_ready_when_listen_has_committed() {
    let fixture = Fixture::new(Config::default());
    let mut reader = fixture.hub.subscribe(WireName::WebSocket, CLIENT).unwrap();
    reader.join(&names(&["a", "b", "a"]), None).unwrap();
    assert!(now(&mut reader).is_empty());
    fixture.hub.ingest(|intake| intake.live(false));
    assert!(now(&mut reader).is_empty());
    fixture.obey();
    assert_eq!(now(&mut reader), [r#"ready ["a", "b"]"#]);
    fixture.notify("a", "1");
    fixture.notify("c", "for nobody");
    fixture.notify("b", "2");
    assert_eq!(now(&mut reader), [r#""a" 1"#, r#""b" 2"#]);
}

#[tokio::test(start_paused = true)]
async fn an_answer_to_an_older_wish_makes_nobody_ready() {
    let fixture = Fixture::live(Config::default());
    let mut first = fixture.hub.subscribe(WireName::WebSocket, CLIENT).unwrap();
    first.join(&names(&["a"]), None).unwrap();
    let old = fixture.demand.changed().await;
    drop(first);
    let linger = fixture.hub.lock().config.linger;
    tokio::time::advance(linger).await;
    fixture.hub.sweep();
    let mut second = fixture.hub.subscribe(WireName::WebSocket, CLIENT).unwrap();
    second.join(&names(&["a"]), None).unwrap();
    let ListenRequest::Listen(generation, _) = old.values().next().unwrap() else {
        panic!("{old:?}");
    };
    fixture
        .hub
        .ingest(|intake| intake.listening(&names(&["a"])[0], *generation));
    assert!(now(&mut second).is_empty());
    fixture.obey();
    assert_eq!(now(&mut second), [r#"ready ["a"]"#]);
}

#[tokio::test(start_paused = true)]
async fn a_subscription_waits_for_the_source_only_so_long() {
    let fixture = Fixture::new(Config::default());
    let mut reader = fixture.subscribe(&["a"], None);
    let start = Instant::now();
    assert_eq!(reader.next().await, Some(Err(Ended::SourceUnavailable)));
    assert_eq!(start.elapsed(), fixture.hub.lock().config.subscribe_timeout);
    assert_eq!(reader.next().await, None);
}

#[tokio::test(start_paused = true)]
async fn a_loss_is_told_at_once_and_its_end_with_a_gap() {
    let fixture = Fixture::live(Config::default());
    let mut reader = fixture.reader(&["a"]);
    fixture.notify("a", "1");
    fixture.lose();
    fixture.lose();
    assert_eq!(now(&mut reader), [r#""a" 1"#, "interrupted"]);
    let mut late = fixture.subscribe(&["a"], None);
    assert!(now(&mut late).is_empty());
    fixture.hub.ingest(|intake| intake.live(true));
    assert_eq!(now(&mut late), [r#"ready ["a"]"#]);
    fixture.notify("a", "2");
    assert_eq!(now(&mut reader), ["source_lost", "live", r#""a" 2"#]);
    assert_eq!(now(&mut late), [r#""a" 2"#]);
}

#[tokio::test(start_paused = true)]
async fn a_source_that_lost_nothing_is_live_without_a_gap() {
    let fixture = Fixture::live(Config::default());
    let mut reader = fixture.reader(&["a"]);
    fixture.lose();
    fixture.hub.ingest(|intake| intake.live(false));
    assert_eq!(now(&mut reader), ["interrupted", "live"]);
}

#[tokio::test(start_paused = true)]
async fn a_later_join_replays_its_own_channels_first() {
    let fixture = Fixture::live(Config::default());
    let mut reader = fixture.reader(&["a"]);
    let mut keeps_b = fixture.subscribe(&["b"], None);
    let cursor = last_cursor(&mut keeps_b);
    fixture.notify("a", "1");
    fixture.notify("b", "2");
    assert_eq!(now(&mut reader), [r#""a" 1"#]);
    reader.join(&names(&["b"]), cursor).unwrap();
    fixture.notify("a", "3");
    fixture.notify("b", "4");
    assert_eq!(
        now(&mut reader),
        [r#""a" 3"#, r#""b" 2"#, r#""b" 4"#, r#"ready ["b"]"#]
    );
    fixture.notify("a", "5");
    assert_eq!(now(&mut reader), [r#""a" 5"#]);
}

#[tokio::test(start_paused = true)]
async fn nothing_of_a_parted_channel_is_delivered() {
    let fixture = Fixture::live(Config::default());
    let mut reader = fixture.reader(&["a", "b"]);
    fixture.notify("a", "1");
    fixture.notify("b", "2");
    reader.unsubscribe(&names(&["a", "never joined"]));
    fixture.notify("a", "3");
    assert_eq!(now(&mut reader), [r#""b" 2"#]);
}

#[tokio::test(start_paused = true)]
async fn an_idle_cursor_moves_with_the_traffic_of_others() {
    let fixture = Fixture::live(Config::default());
    let mut quiet = fixture.subscribe(&["quiet"], None);
    assert_eq!(quiet.cursor(), None);
    let at_ready = last_cursor(&mut quiet);
    let _busy = fixture.subscribe(&["busy"], None);
    fixture.notify("busy", "1");
    let idle = quiet.cursor().map(Cursor::At);
    assert!(idle.is_some() && idle != at_ready);
    fixture.notify("quiet", "2");
    assert_eq!(quiet.cursor(), None);
    assert_eq!(now(&mut quiet), [r#""quiet" 2"#]);
    assert!(now(&mut fixture.subscribe(&["quiet"], idle)).contains(&r#""quiet" 2"#.to_owned()));
}

/// Its events would be delivered twice, and out of order.
#[tokio::test(start_paused = true)]
async fn a_channel_that_is_read_cannot_be_joined_with_a_cursor() {
    let fixture = Fixture::live(Config::default());
    let mut reader = fixture.reader(&["a"]);
    let [a, b] = ["a", "b"].map(|name| ChannelName::new(name).unwrap());
    let refused = |name: &ChannelName| Err(JoinError::Joined(name.clone()));
    let both = [a.clone(), b.clone()];
    assert_eq!(reader.join(&both, Some(Cursor::Invalid)), refused(&a));
    reader.join(&both[1..], None).unwrap();
    assert_eq!(reader.join(&both[1..], Some(Cursor::Invalid)), refused(&b));
    reader.join(&[a], None).unwrap();
    fixture.obey();
    assert_eq!(now(&mut reader), [r#"ready ["b"]"#, r#"ready ["a"]"#]);
}

#[tokio::test(start_paused = true)]
async fn the_end_comes_to_some_readers_after_the_others() {
    let fixture = Fixture::live(Config::default());
    let mut one = fixture.reader(&["a"]);
    let mut two = fixture.reader(&["a"]);
    fixture.hub.close();
    assert_eq!(
        fixture.hub.subscribe(WireName::WebSocket, CLIENT).err(),
        Some(SubscribeError::ShuttingDown)
    );
    let (end, left) = tokio::join!(one.next(), async { fixture.hub.end(1) });
    assert_eq!((end, left), (Some(Err(Ended::ShuttingDown)), 1));
    fixture.notify("a", "meanwhile");
    assert_eq!(now(&mut two), [r#""a" meanwhile"#]);
    assert_eq!(fixture.hub.end(9), 0);
    assert_eq!(two.next().await, Some(Err(Ended::ShuttingDown)));
}
