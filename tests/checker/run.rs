//! One run: rounds of faults, each followed by a moment of calm in which every
//! cache has to agree with the table.

use std::{collections::HashMap, sync::Arc, time::Duration};

use fastrand::Rng;
use tokio::{select, time::Instant};

use crate::{
    SETTLED,
    churn::{Churn, Way},
    faults::{Bag, befall, befall_readers},
    keeper::{Habits, Keeper},
    settled,
    support::{Wire, until},
    world::World,
};

/// Open files of a gateway in addition to its readers: the port, two sessions,
/// standard streams, those of the runtime and of the signal handlers.
const OWN_FILES: usize = 24;

/// The history holds at most 50 short events of nine channels, and each reader
/// a batch of those: the gateway grows only by memory that its allocator keeps
/// after the bursts.
const GROWTH: usize = 32 << 20;

/// Interval between the printed costs.
const PRINTS: Duration = Duration::from_secs(60);

/// Memory and open files of a gateway in a moment of calm.
#[derive(Debug, Clone, Copy)]
pub struct Cost {
    /// Number of the gateway process, counted from 1.
    pub gateway: u32,
    pub resident: usize,
    pub files: usize,
}

pub struct Run {
    pub seed: u64,
    pub world: World,
    pub keepers: Vec<Keeper>,
    pub churn: Vec<Churn>,
    pub source_faults: Bag,
    pub reader_faults: Bag,
    pub begin: Instant,
    pub rounds: u32,
    /// Costs in the first calm moment of each gateway, and in the last one.
    pub costs: Vec<(Cost, Cost)>,
    /// The longest time until all caches agreed.
    pub longest: Duration,
    /// The table in the last calm moment.
    pub table: HashMap<i32, i64>,
    /// Cached values that were compared with the table's.
    pub compared: usize,
    rng: Rng,
    pub printed: Instant,
}

impl Run {
    /// Every reader has a cache that was filled once.
    pub async fn begin(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let world = World::new().await;
        let keepers = keepers(&world, &mut rng);
        let ways = Wire::ALL.map(Way::Connections).into_iter();
        let ways = ways.chain([Way::Frames]);
        let mut run = Self {
            seed,
            keepers,
            churn: ways
                .map(|way| Churn::spawn(way, world.view_of_churn(), rng.fork()))
                .collect(),
            source_faults: Bag::of_source(rng.fork()),
            reader_faults: Bag::of_readers(rng.fork()),
            begin: Instant::now(),
            rounds: 0,
            costs: Vec::new(),
            longest: Duration::ZERO,
            table: HashMap::new(),
            compared: 0,
            world,
            rng,
            printed: Instant::now(),
        };
        run.settle().await;
        run.print_cost();
        run
    }

    /// Faults of all kinds at once, then calm.
    pub async fn round(&mut self, is_lasting: bool) {
        let writer = self.world.begin_to_write(self.rng.fork());
        let link = Arc::clone(&self.world.readers_link);
        self.source_faults.round.clear();
        self.reader_faults.round.clear();
        select! {
            () = befall(&mut self.world, &mut self.source_faults, is_lasting) => {}
            () = befall_readers(&link, &mut self.reader_faults) => {}
        }
        self.world.end_to_write(writer).await;
        self.rounds += 1;
        self.settle().await;
        if self.printed.elapsed() >= PRINTS {
            self.print_cost();
        }
    }

    async fn settle(&mut self) {
        let begin = Instant::now();
        self.table = self.world.view().table().await;
        match settled::agreement(&self.keepers, &self.table, begin).await {
            Ok(time) => self.longest = self.longest.max(time),
            Err(disagreements) => {
                self.print();
                self.print_round();
                settled::print(&disagreements);
                panic!("not right within {SETTLED:?}: CHECKER_SEED={}", self.seed);
            }
        }
        let cached = |keeper: &Keeper| keeper.kept.borrow().cache.len();
        self.compared += self.keepers.iter().map(cached).sum::<usize>();
        for churn in &self.churn {
            let (way, seed) = (churn.way, self.seed);
            assert!(churn.is_running(), "{way:?} failed: CHECKER_SEED={seed}");
        }
        self.count_cost().await;
    }

    /// A reader that has left is released soon.
    async fn count_cost(&mut self) {
        let gateway = &self.world.gateway;
        let most = self.keepers.len() + self.churn.len() + OWN_FILES;
        let what = format!("at most {most} descriptors, of {}", gateway.open_files());
        until(&what, || async { gateway.open_files() <= most }).await;
        let now = Cost {
            gateway: self.world.gateways,
            resident: gateway.resident(),
            files: gateway.open_files(),
        };
        match self.costs.last_mut() {
            Some((first, last)) if first.gateway == now.gateway => {
                *last = now;
                let grown = now.resident.saturating_sub(first.resident);
                assert!(grown <= GROWTH, "{first:?} has become {now:?}");
            }
            _ => self.costs.push((now, now)),
        }
    }
}

/// Three on each transport: one that leaves and comes back, one behind a link
/// with its own faults, and a slow one.
fn keepers(world: &World, rng: &mut Rng) -> Vec<Keeper> {
    let mut keepers = Vec::new();
    for wire in Wire::ALL {
        for (name, leaves, pauses) in [
            ("direct", true, false),
            ("by the link", true, false),
            ("slow", false, true),
        ] {
            let view = match name {
                "by the link" => world.view_by_link(),
                _ => world.view(),
            };
            let habits = Habits {
                wire,
                name,
                leaves,
                pauses,
            };
            keepers.push(Keeper::spawn(habits, view, rng.fork()));
        }
    }
    keepers
}
