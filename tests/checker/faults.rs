//! Faults of the gateway, its server and the links, drawn from the seed.

use std::{collections::BTreeMap, time::Duration};

use fastrand::Rng;
use tokio::time::sleep;

use crate::{support::Link, world::World};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    // the gateway's sessions in the server
    Terminate,
    KillBackend,
    StopBackend,
    // the server
    FastRestart,
    ImmediateRestart,
    SmartRestart,
    KillServer,
    // the link between the two
    Freeze,
    LoseAll,
    LoseSome,
    Delay,
    Cut,
    // the gateway
    StopGateway,
    EndGateway,
    KillGateway,
    // no fault
    Burst,
    // the link between the gateway and some readers
    ReadersFreeze,
    ReadersDelay,
    ReadersCut,
}

/// Number of each fault in a bag.
const SOURCE: [(Fault, usize); 16] = [
    (Fault::Terminate, 4),
    (Fault::KillBackend, 2),
    (Fault::StopBackend, 2),
    (Fault::FastRestart, 2),
    (Fault::ImmediateRestart, 2),
    // It takes seconds: the gateway checks only every 5 s whether the server
    // shuts down.
    (Fault::SmartRestart, 1),
    (Fault::KillServer, 2),
    (Fault::Freeze, 4),
    (Fault::LoseAll, 2),
    (Fault::LoseSome, 2),
    (Fault::Delay, 2),
    (Fault::Cut, 3),
    (Fault::StopGateway, 2),
    (Fault::EndGateway, 2),
    (Fault::KillGateway, 2),
    (Fault::Burst, 6),
];

const READERS: [(Fault, usize); 3] = [
    (Fault::ReadersFreeze, 2),
    (Fault::ReadersDelay, 2),
    (Fault::ReadersCut, 1),
];

/// Number of faults of each kind.
pub type Counts = BTreeMap<Fault, u32>;

/// Faults in random order. One bag is emptied before the next is filled, so
/// each kind comes up.
#[derive(Debug)]
pub struct Bag {
    kinds: &'static [(Fault, usize)],
    rest: Vec<Fault>,
    rng: Rng,
    pub counts: Counts,
    /// Faults of the present round, in their order.
    pub round: Vec<Fault>,
}

impl Bag {
    fn new(kinds: &'static [(Fault, usize)], rng: Rng) -> Self {
        Self {
            kinds,
            rest: Vec::new(),
            rng,
            counts: Counts::new(),
            round: Vec::new(),
        }
    }

    /// Faults of the source and the gateway.
    pub fn of_source(rng: Rng) -> Self {
        Self::new(&SOURCE, rng)
    }

    /// Faults of the link to some readers.
    pub fn of_readers(rng: Rng) -> Self {
        Self::new(&READERS, rng)
    }

    fn draw(&mut self) -> Fault {
        if self.rest.is_empty() {
            let kinds = self.kinds.iter();
            self.rest = kinds.flat_map(|(fault, n)| vec![*fault; *n]).collect();
            self.rng.shuffle(&mut self.rest);
        }
        self.rest.pop().unwrap()
    }

    fn count(&mut self, fault: Fault) {
        *self.counts.entry(fault).or_default() += 1;
        self.round.push(fault);
    }

    fn milliseconds(&mut self, range: std::ops::Range<u64>) -> Duration {
        Duration::from_millis(self.rng.u64(range))
    }

    pub fn total(&self) -> u32 {
        self.counts.values().sum()
    }
}

/// One to five faults in a row; often only one, because the gap of the next
/// could repair its damage. If `is_lasting`, a gateway is not replaced: its
/// memory use over a long time shows only then.
pub async fn befall(world: &mut World, bag: &mut Bag, is_lasting: bool) {
    for _ in 0..bag.rng.choice([1, 1, 1, 1, 2, 5]).unwrap() {
        sleep(bag.milliseconds(50..800)).await;
        let fault = bag.draw();
        if is_lasting && matches!(fault, Fault::EndGateway | Fault::KillGateway) {
            continue;
        }
        bag.count(fault);
        inflict(world, fault, bag).await;
    }
    sleep(bag.milliseconds(0..800)).await;
}

async fn inflict(world: &mut World, fault: Fault, bag: &mut Bag) {
    let time = bag.milliseconds(50..2500);
    match fault {
        Fault::Terminate => world.terminate().await,
        Fault::KillBackend => world.signal_backend("KILL", &mut bag.rng).await,
        Fault::StopBackend => world.stop_backend(time, &mut bag.rng).await,
        Fault::FastRestart | Fault::ImmediateRestart | Fault::SmartRestart | Fault::KillServer => {
            world.restart_server(fault, time / 3).await;
        }
        Fault::StopGateway => world.stop_gateway(time).await,
        Fault::EndGateway => world.end_gateway(bag.rng.bool()).await,
        Fault::KillGateway => world.kill_gateway().await,
        Fault::Burst => world.burst(&mut bag.rng).await,
        _ => weather(&world.link, fault, time, bag).await,
    }
}

/// Faults of the link to some readers, until this is dropped.
pub async fn befall_readers(link: &Link, bag: &mut Bag) {
    loop {
        sleep(bag.milliseconds(100..2000)).await;
        let fault = bag.draw();
        bag.count(fault);
        let time = bag.milliseconds(50..2500);
        weather(link, fault, time, bag).await;
    }
}

/// Applies the fault for this time; the link is healthy again afterwards, also
/// if this is dropped.
async fn weather(link: &Link, fault: Fault, time: Duration, bag: &mut Bag) {
    let _sun = Sun(link);
    match fault {
        Fault::Freeze | Fault::ReadersFreeze => link.freeze(),
        Fault::LoseAll => link.lose(100),
        Fault::LoseSome => link.lose(10),
        Fault::Delay | Fault::ReadersDelay => link.delay(bag.milliseconds(20..400)),
        Fault::Cut | Fault::ReadersCut => return link.cut(),
        other => unreachable!("{other:?} is no weather"),
    }
    sleep(time).await;
}

struct Sun<'a>(&'a Link);

impl Drop for Sun<'_> {
    fn drop(&mut self) {
        self.0.thaw();
        self.0.lose(0);
        self.0.delay(Duration::ZERO);
    }
}
