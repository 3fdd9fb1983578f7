//! A cache as the contract's recipe has it: filled only while it is live,
//! emptied by a gap, bypassed while interrupted or disconnected. A fill that
//! was overtaken by an invalidation is thrown away.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use fastrand::Rng;
use tokio::{
    select,
    task::JoinHandle,
    time::{Duration, interval},
};

use crate::{
    support::{Reader, Said, Wire},
    world::{BLOCK, CHANNELS, KEYS, View, channel},
};

/// How often the application asks for a block of keys.
const READS: Duration = Duration::from_millis(5);

pub struct Cache {
    pub wire: Wire,
    shared: Arc<Mutex<Shared>>,
    running: JoinHandle<()>,
}

#[derive(Default)]
struct Shared {
    values: HashMap<i32, i64>,
    live: bool,
    events: u32,
    gaps: u32,
    connections: u32,
}

/// Values that are being read, and the generation of each when that began.
struct Fill {
    generations: HashMap<i32, u64>,
    values: JoinHandle<Option<HashMap<i32, i64>>>,
}

struct Client {
    wire: Wire,
    view: View,
    rng: Rng,
    shared: Arc<Mutex<Shared>>,
    /// Moves at every invalidation of the key.
    generations: HashMap<i32, u64>,
    cursor: Option<String>,
    fill: Option<Fill>,
}

impl Cache {
    pub fn spawn(wire: Wire, view: View, rng: Rng) -> Self {
        let shared = Arc::default();
        let client = Client {
            wire,
            view,
            rng,
            shared: Arc::clone(&shared),
            generations: HashMap::new(),
            cursor: None,
            fill: None,
        };
        Self {
            wire,
            shared,
            running: tokio::spawn(client.run()),
        }
    }

    /// It is live, holds something, and nothing that is not so.
    pub fn agrees_with(&self, table: &HashMap<i32, i64>) -> bool {
        assert!(!self.running.is_finished(), "{:?} has failed", self.wire);
        let shared = self.shared.lock().unwrap();
        let is_true = |(key, value): (&i32, &i64)| table[key] == *value;
        shared.live && !shared.values.is_empty() && shared.values.iter().all(is_true)
    }

    /// Events, gaps, connections.
    pub fn told(&self) -> (u32, u32, u32) {
        let shared = self.shared.lock().unwrap();
        (shared.events, shared.gaps, shared.connections)
    }
}

impl Drop for Cache {
    fn drop(&mut self) {
        self.running.abort();
    }
}

impl Client {
    async fn run(mut self) {
        loop {
            if let Some(reader) = self.connect().await {
                self.shared.lock().unwrap().connections += 1;
                self.read(reader).await;
            }
            self.shared.lock().unwrap().live = false;
            if self.wire == Wire::PgCacheWatch {
                self.forget_all();
            }
            // As every client does, before it comes back.
            tokio::time::sleep(Duration::from_millis(self.rng.u64(10..100))).await;
        }
    }

    async fn connect(&mut self) -> Option<Reader> {
        let address = self.view.address();
        let all: Vec<_> = (0..CHANNELS).map(channel).collect();
        let one = channel(0);
        let channels: Vec<&str> = match self.wire {
            Wire::PgCacheWatch => vec![&one],
            _ => all.iter().map(String::as_str).collect(),
        };
        let open = Reader::try_open(self.wire, address, &channels, self.cursor.as_deref());
        open.await
    }

    /// Until the connection ends, or is given up.
    async fn read(&mut self, mut reader: Reader) {
        let mut reads = interval(READS);
        loop {
            select! {
                said = reader.next() => match said {
                    Some(Said::Closed(..)) | None => return,
                    Some(said) => self.hear(said),
                },
                values = filled(&mut self.fill) => self.filled(values),
                _ = reads.tick() => {
                    if self.rng.u32(0..500) == 0 {
                        return;
                    }
                    self.ask();
                }
            }
        }
    }

    fn hear(&mut self, said: Said) {
        if let Some(cursor) = said.cursor() {
            self.cursor = Some(cursor.to_owned()).filter(|cursor| !cursor.is_empty());
        }
        match said {
            Said::Ready { .. } | Said::Live { .. } => self.shared.lock().unwrap().live = true,
            Said::Event { payload, .. } => {
                let key = payload.parse().unwrap();
                *self.generations.entry(key).or_default() += 1;
                let mut shared = self.shared.lock().unwrap();
                shared.events += 1;
                shared.values.remove(&key);
            }
            Said::Gap { .. } => {
                self.shared.lock().unwrap().gaps += 1;
                self.forget_all();
            }
            Said::Interrupted => self.shared.lock().unwrap().live = false,
            other => panic!("{other:?}"),
        }
    }

    fn forget_all(&mut self) {
        (0..KEYS).for_each(|key| *self.generations.entry(key).or_default() += 1);
        self.shared.lock().unwrap().values.clear();
    }

    /// The application wants a block: what the cache has not is read.
    fn ask(&mut self) {
        let block = self.rng.i32(0..KEYS / BLOCK);
        let shared = self.shared.lock().unwrap();
        if !shared.live || self.fill.is_some() {
            return;
        }
        let is_covered = |key: &i32| self.wire != Wire::PgCacheWatch || key % CHANNELS == 0;
        let keys = (block * BLOCK..(block + 1) * BLOCK).filter(is_covered);
        let missing = keys.filter(|key| !shared.values.contains_key(key));
        let generations: HashMap<_, _> = missing.map(|key| (key, self.generation(key))).collect();
        if !generations.is_empty() {
            let view = self.view.clone();
            self.fill = Some(Fill {
                generations,
                values: tokio::spawn(async move { view.read(block).await }),
            });
        }
    }

    fn generation(&self, key: i32) -> u64 {
        self.generations.get(&key).copied().unwrap_or_default()
    }

    /// Stores what no invalidation has overtaken.
    fn filled(&mut self, values: Option<HashMap<i32, i64>>) {
        let (Some(fill), Some(values)) = (self.fill.take(), values) else {
            return;
        };
        let mut shared = self.shared.lock().unwrap();
        if !shared.live {
            return;
        }
        for (key, generation) in fill.generations {
            if self.generation(key) == generation {
                shared.values.insert(key, values[&key]);
            }
        }
    }
}

/// Waits for ever when nothing is being read.
async fn filled(fill: &mut Option<Fill>) -> Option<HashMap<i32, i64>> {
    match fill {
        Some(fill) => (&mut fill.values).await.unwrap(),
        None => std::future::pending().await,
    }
}
