//! A reader with a cache, and the application that uses it.

use std::{
    collections::{BTreeMap, HashMap},
    net::SocketAddr,
};

use fastrand::Rng;
use socket2::SockRef;
use tokio::{
    net::{TcpSocket, TcpStream},
    select,
    sync::watch,
    task::JoinHandle,
    time::{Duration, Instant, interval, sleep, sleep_until},
};

use crate::{
    application::{BLOCK, CHANNELS, KEYS, View, channel},
    cache::{Cache, Generation},
    support::{Reader, Said, Wire},
};

/// Interval between the application's requests for a block of keys.
const ASKS: Duration = Duration::from_millis(10);

/// Average number of requests before a reader leaves, or stops reading.
const LEAVES: u32 = 300;
const PAUSES: u32 = 300;

/// Receive buffer of a slow client, in bytes: data that it does not read stays
/// at the gateway. Its segments are small too, since the kernel makes the
/// gateway's buffer a multiple of the segment size.
const SMALL_BUFFER: u32 = 4096;
const SMALL_SEGMENT: u32 = 536;

/// Transport, name and behaviour of a reader.
#[derive(Debug, Clone, Copy)]
pub struct Habits {
    pub wire: Wire,
    pub name: &'static str,
    /// Leaves at times, and resumes with its cursor.
    pub leaves: bool,
    /// Stops reading for seconds.
    pub pauses: bool,
}

impl Habits {
    pub fn title(&self) -> String {
        format!("{:?}, {}", self.wire, self.name)
    }
}

/// State of a reader and its cache.
#[derive(Debug, Default)]
pub struct Kept {
    pub cache: Cache,
    pub events: u64,
    /// Number of gaps by reason.
    pub gaps: BTreeMap<String, u32>,
    pub connections: u32,
    pub pauses: u32,
    /// Number of values that were put into the cache.
    pub fills: u64,
}

/// A reader that runs until it is dropped.
pub struct Keeper {
    pub habits: Habits,
    pub kept: watch::Receiver<Kept>,
    running: JoinHandle<()>,
}

/// Values that are being read.
struct Fill {
    missing: HashMap<i32, Generation>,
    read: JoinHandle<Option<HashMap<i32, i64>>>,
}

struct Client {
    habits: Habits,
    view: View,
    rng: Rng,
    kept: watch::Sender<Kept>,
    cursor: Option<String>,
    fill: Option<Fill>,
    /// Values that readers knew when it began to connect.
    known: Vec<i64>,
}

impl Keeper {
    pub fn spawn(habits: Habits, view: View, rng: Rng) -> Self {
        let (kept, seen) = watch::channel(Kept::default());
        let client = Client {
            habits,
            view,
            rng,
            kept,
            cursor: None,
            fill: None,
            known: Vec::new(),
        };
        Self {
            habits,
            kept: seen,
            running: tokio::spawn(client.run()),
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.running.abort();
    }
}

impl Client {
    async fn run(mut self) {
        loop {
            if let Some(reader) = self.connect().await {
                self.kept.send_modify(|kept| kept.connections += 1);
                self.read(reader).await;
            }
            let has_cursor = self.cursor.is_some();
            self.kept
                .send_modify(|kept| kept.cache.disconnected(has_cursor));
            // Every client pauses before it reconnects.
            sleep(Duration::from_millis(self.rng.u64(10..100))).await;
        }
    }

    /// `None` if no gateway accepts.
    async fn connect(&mut self) -> Option<Reader> {
        self.known = self.view.known.now();
        let address = *self.view.address.borrow();
        let socket = connected(address, self.habits.pauses).await?;
        let all: Vec<_> = (0..CHANNELS).map(channel).collect();
        let mut channels: Vec<&str> = all.iter().map(String::as_str).collect();
        if self.habits.wire == Wire::PgCacheWatch {
            channels.truncate(1);
        }
        let cursor = self.cursor.as_deref();
        Some(Reader::over(socket, self.habits.wire, &channels, cursor).await)
    }

    /// Runs until the connection ends, or is given up. The application
    /// continues to use the cache while the reader pauses.
    async fn read(&mut self, mut reader: Reader) {
        let mut asks = interval(ASKS);
        let mut pause_ends = Instant::now();
        loop {
            let is_reading = Instant::now() >= pause_ends;
            select! {
                said = reader.next(), if is_reading => match said {
                    Some(Said::Closed(..)) | None => return,
                    Some(said) => self.hear(&said),
                },
                () = sleep_until(pause_ends), if !is_reading => {}
                read = read_values(&mut self.fill) => self.filled(read),
                _ = asks.tick() => {
                    if self.habits.leaves && self.rng.u32(0..LEAVES) == 0 {
                        return;
                    }
                    let may_pause = self.habits.pauses && is_reading && *self.view.writing.borrow();
                    if may_pause && self.rng.u32(0..PAUSES) == 0 {
                        let pause = Duration::from_millis(self.rng.u64(1000..4000));
                        pause_ends = Instant::now() + pause;
                        self.kept.send_modify(|kept| kept.pauses += 1);
                    }
                    self.ask();
                }
            }
        }
    }

    fn hear(&mut self, said: &Said) {
        if let Some(cursor) = said.cursor() {
            self.cursor = Some(cursor.to_owned()).filter(|cursor| !cursor.is_empty());
        }
        match said {
            Said::Ready { .. } => self.is_up_to_date(),
            Said::Event { payload, .. } => self.view.known.note(payload),
            _ => {}
        }
        self.kept.send_modify(|kept| {
            kept.cache.hear(said);
            match said {
                Said::Event { .. } => kept.events += 1,
                Said::Gap { reason, .. } => *kept.gaps.entry(reason.clone()).or_default() += 1,
                _ => {}
            }
        });
    }

    /// From `ready` on the cache is used: everything that changed before the
    /// reader came back has been invalidated by then.
    fn is_up_to_date(&self) {
        let older = self.kept.borrow().cache.older_than(&self.known);
        let title = self.habits.title();
        assert!(older.is_empty(), "{title} is ready with {older:?}");
    }

    /// The application needs a block: values that are not cached are read.
    fn ask(&mut self) {
        let block = self.rng.i32(0..KEYS / BLOCK);
        if self.fill.is_some() {
            return;
        }
        let is_covered = |key: &i32| self.habits.wire != Wire::PgCacheWatch || key % CHANNELS == 0;
        let keys = (block * BLOCK..(block + 1) * BLOCK).filter(is_covered);
        let missing = self.kept.borrow().cache.missing(keys);
        if !missing.is_empty() {
            let view = self.view.clone();
            let read = tokio::spawn(async move { view.read(block).await });
            self.fill = Some(Fill { missing, read });
        }
    }

    fn filled(&mut self, read: Option<HashMap<i32, i64>>) {
        if let (Some(fill), Some(read)) = (self.fill.take(), read) {
            self.kept
                .send_modify(|kept| kept.fills += kept.cache.fill(&fill.missing, &read));
        }
    }
}

/// Never returns if nothing is being read.
async fn read_values(fill: &mut Option<Fill>) -> Option<HashMap<i32, i64>> {
    match fill {
        Some(fill) => (&mut fill.read).await.unwrap(),
        None => std::future::pending().await,
    }
}

pub async fn connected(address: SocketAddr, is_slow: bool) -> Option<TcpStream> {
    let socket = TcpSocket::new_v4().unwrap();
    if is_slow {
        socket.set_recv_buffer_size(SMALL_BUFFER).unwrap();
        SockRef::from(&socket).set_tcp_mss(SMALL_SEGMENT).unwrap();
    }
    socket.connect(address).await.ok()
}
