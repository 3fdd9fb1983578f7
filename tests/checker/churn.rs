//! Readers that continuously join and leave one channel. They receive
//! everything that was committed after `ready`, or after the cursor, or a
//! message that something may be missing.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use fastrand::Rng;
use serde_json::json;
use tokio::{
    task::JoinHandle,
    time::{sleep, timeout},
};

use crate::{
    SETTLED,
    application::View,
    keeper::connected,
    support::{Reader, Said, WebSocket, Wire},
};

/// How a reader joins and leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// A new connection each time.
    Connections(Wire),
    /// Frames on a WebSocket that stays open.
    Frames,
}

/// A reader that joins and leaves until it is dropped.
pub struct Churn {
    pub way: Way,
    pub joins: Arc<AtomicU64>,
    running: JoinHandle<()>,
}

struct Client {
    way: Way,
    /// Used only by this reader, so that it is given up at times.
    channel: String,
    view: View,
    rng: Rng,
    joins: Arc<AtomicU64>,
    cursor: Option<String>,
    sent: u64,
}

/// Message for a reader of the channel.
#[derive(Debug, PartialEq, Eq)]
enum Heard {
    All,
    /// Something may be missing, or nothing more will come.
    Loss,
}

impl Churn {
    pub fn spawn(way: Way, view: View, rng: Rng) -> Self {
        let joins = Arc::default();
        let client = Client {
            way,
            channel: format!("churn {way:?}"),
            view,
            rng,
            joins: Arc::clone(&joins),
            cursor: None,
            sent: 0,
        };
        Self {
            way,
            joins,
            running: tokio::spawn(client.run()),
        }
    }

    /// It ends only if something was lost silently.
    pub fn is_running(&self) -> bool {
        !self.running.is_finished()
    }
}

impl Drop for Churn {
    fn drop(&mut self) {
        self.running.abort();
    }
}

impl Client {
    async fn run(mut self) {
        loop {
            match self.way {
                Way::Connections(wire) => drop(self.join(wire).await),
                Way::Frames => drop(self.talk().await),
            }
            self.stay_away().await;
        }
    }

    /// Sometimes long enough that the channel is given up.
    async fn stay_away(&mut self) {
        sleep(Duration::from_millis(self.rng.u64(0..1000))).await;
    }

    /// The number of a committed notification, or `None`.
    async fn notify(&mut self) -> Option<u64> {
        self.sent += 1;
        let payload = self.sent.to_string();
        let committed = self.view.database.notify(&self.channel, &payload).await;
        committed.then_some(self.sent)
    }

    /// Two notifications: the second shows the loss of the first, before
    /// another fault hides it.
    async fn notify_twice(&mut self) -> Option<[u64; 2]> {
        Some([self.notify().await?, self.notify().await?])
    }

    /// One join; with a cursor it requests what was committed meanwhile.
    async fn join(&mut self, wire: Wire) -> Option<()> {
        let cursor = self.cursor.take().filter(|_| self.rng.bool());
        let mut wanted = VecDeque::new();
        if cursor.is_some() {
            wanted.push_back(self.notify().await?);
        }
        let address = *self.view.address.borrow();
        let socket = connected(address, false).await?;
        let channels = [self.channel.as_str()];
        let mut reader = Reader::over(socket, wire, &channels, cursor.as_deref()).await;
        self.ready(&mut reader, &mut wanted).await?;
        self.joins.fetch_add(1, Ordering::Relaxed);
        wanted.extend(self.notify_twice().await?);
        self.hears(&mut reader, wanted).await
    }

    /// Missed events come before `ready`, except those that are still on their
    /// way to the gateway.
    async fn ready(&mut self, reader: &mut Reader, wanted: &mut VecDeque<u64>) -> Option<()> {
        loop {
            match self.next(reader).await {
                Some(Said::Ready { .. }) => return Some(()),
                Some(said @ Said::Event { .. }) => {
                    judge(Some(&said), wanted, self.way);
                }
                Some(Said::Gap { .. }) => wanted.clear(),
                Some(Said::Closed(..)) | None => return None,
                other => panic!("{:?}: not ready but {other:?}", self.way),
            }
        }
    }

    /// Waits for these events, in this order.
    async fn hears(&mut self, reader: &mut Reader, mut wanted: VecDeque<u64>) -> Option<()> {
        let way = self.way;
        let hearing = async {
            loop {
                let said = self.next(reader).await;
                if let Some(heard) = judge(said.as_ref(), &mut wanted, way) {
                    return heard;
                }
            }
        };
        let heard = timeout(SETTLED, hearing).await;
        let heard = heard.unwrap_or_else(|_| panic!("{way:?}: {wanted:?} was lost in silence"));
        (heard == Heard::All).then_some(())
    }

    async fn next(&mut self, reader: &mut Reader) -> Option<Said> {
        let said = reader.next().await;
        if let Some(cursor) = said.as_ref().and_then(Said::cursor) {
            self.cursor = Some(cursor.to_owned()).filter(|cursor| !cursor.is_empty());
        }
        said
    }

    /// Joins and leaves by frames until the connection ends.
    async fn talk(&mut self) -> Option<()> {
        let address = *self.view.address.borrow();
        let socket = connected(address, false).await?;
        let mut socket = WebSocket::over(socket, "/v1/ws").await.ok()?;
        loop {
            self.say(&mut socket, "subscribe").await?;
            self.until_answer(&mut socket, "ready").await?;
            self.joins.fetch_add(1, Ordering::Relaxed);
            if let Some(wanted) = self.notify_twice().await {
                self.reads(&mut socket, wanted.into()).await?;
            }
            self.say(&mut socket, "unsubscribe").await?;
            self.until_answer(&mut socket, "unsubscribed").await?;
            // A reader that has left must not receive it.
            self.notify().await;
            let absence = Duration::from_millis(self.rng.u64(0..1000));
            let has_ended = timeout(absence, hears_no_event(&mut socket)).await.is_ok();
            if has_ended {
                return None;
            }
        }
    }

    async fn say(&self, socket: &mut WebSocket, what: &str) -> Option<()> {
        let frame = json!({"type": what, "channels": [self.channel]});
        socket.try_say(&frame.to_string()).await.then_some(())
    }

    async fn until_answer(&self, socket: &mut WebSocket, what: &str) -> Option<()> {
        loop {
            match said(socket).await? {
                Said::Ready { .. } if what == "ready" => return Some(()),
                Said::Answer(answer) => {
                    assert_eq!(answer["type"], what, "{answer}");
                    return Some(());
                }
                _ => {}
            }
        }
    }

    async fn reads(&self, socket: &mut WebSocket, mut wanted: VecDeque<u64>) -> Option<()> {
        let reading = async {
            loop {
                let said = said(socket).await?;
                if judge(Some(&said), &mut wanted, self.way).is_some() {
                    return Some(());
                }
            }
        };
        let read = timeout(SETTLED, reading).await;
        read.unwrap_or_else(|_| panic!("frames: {wanted:?} was lost in silence"))
    }
}

/// Reads until the end of the connection.
async fn hears_no_event(socket: &mut WebSocket) {
    while let Some(said) = said(socket).await {
        let is_event = matches!(said, Said::Event { .. });
        assert!(!is_event, "{said:?} after `unsubscribed`");
    }
}

/// `None` at the end of the connection.
async fn said(socket: &mut WebSocket) -> Option<Said> {
    let text = socket.text().await.ok()?;
    Some(Said::from_json(&text))
}

/// `None` if more messages are expected; each event is the next one that is
/// wanted, or an older one.
fn judge(said: Option<&Said>, wanted: &mut VecDeque<u64>, way: Way) -> Option<Heard> {
    match said {
        Some(Said::Event { payload, .. }) => {
            let number: u64 = payload.parse().unwrap();
            if let Some(next) = wanted.front().copied().filter(|next| *next <= number) {
                assert!(next == number, "{way:?}: {next} was lost in silence");
                wanted.pop_front();
            }
            wanted.is_empty().then_some(Heard::All)
        }
        Some(Said::Gap { .. } | Said::Interrupted | Said::Closed(..)) | None => Some(Heard::Loss),
        _ => None,
    }
}
