//! Printed report of a run, and the final checks.

use crate::{
    application::BURST,
    churn::Churn,
    faults::Fault,
    keeper::{Keeper, Kept},
    run::{Cost, Run},
};

/// Notifications that the gateway applies under one lock: a burst makes a
/// reader too slow no more often than that, however short the history is.
const INTAKE: u32 = 256;

/// Number of bursts after which some slow reader was certainly too slow.
const MANY_BURSTS: u32 = 10;

impl Cost {
    fn text(&self) -> String {
        format!("{} KiB, {} descriptors", self.resident >> 10, self.files)
    }
}

impl Run {
    pub fn print_cost(&mut self) {
        self.printed = tokio::time::Instant::now();
        let (_, cost) = self.costs.last().unwrap();
        println!(
            "{:>5} s: {} rounds, {} faults, gateway {}: {}",
            self.begin.elapsed().as_secs(),
            self.rounds,
            self.source_faults.total() + self.reader_faults.total(),
            cost.gateway,
            cost.text(),
        );
    }

    pub fn print(&self) {
        let seconds = self.begin.elapsed().as_secs();
        println!("CHECKER_SEED={} after {seconds} s", self.seed);
        println!("faults {:?}", self.source_faults.counts);
        println!(
            "faults of the readers' link {:?}",
            self.reader_faults.counts
        );
        println!("reader                     events connections  pauses   fills stale gaps");
        self.keepers
            .iter()
            .for_each(|keeper| self.print_keeper(keeper));
        for Churn { way, joins, .. } in &self.churn {
            let joins = joins.load(std::sync::atomic::Ordering::Relaxed);
            println!("churn {way:?}: {joins} joins, nothing lost in silence");
        }
        for (first, last) in &self.costs {
            let (number, first, last) = (first.gateway, first.text(), last.text());
            println!("gateway {number}: first {first}, last {last}");
        }
        println!(
            "{} rounds: 0 stale of {} cached values; the slowest round was right after {:.1?}",
            self.rounds, self.compared, self.longest
        );
    }

    /// The faults before a disagreement.
    pub fn print_round(&self) {
        let (source, readers) = (&self.source_faults.round, &self.reader_faults.round);
        println!("faults of this round {source:?}, beside {readers:?}");
    }

    fn print_keeper(&self, keeper: &Keeper) {
        let kept = keeper.kept.borrow();
        println!(
            "{:<24} {:>8} {:>11} {:>7} {:>7} {:>5} {:?}",
            keeper.habits.title(),
            kept.events,
            kept.connections,
            kept.pauses,
            kept.fills,
            kept.cache.stale(&self.table).len(),
            kept.gaps
        );
    }

    /// Checks that the run proves something, and that no reader got too many
    /// gaps.
    pub fn check(&self) {
        for keeper in &self.keepers {
            self.check_reader(&keeper.habits.title(), &keeper.kept.borrow());
        }
        let came_back = |k: &Keeper| k.kept.borrow().connections > 1;
        assert!(self.keepers.iter().any(came_back), "nobody came back");
        if self.bursts() >= MANY_BURSTS {
            let slow = self.keepers.iter().filter(|k| k.habits.pauses);
            let overtaken = |k: &Keeper| k.kept.borrow().gaps.contains_key("slow_reader");
            assert!(slow.into_iter().any(overtaken), "nobody was too slow");
        }
        for Churn { way, joins, .. } in &self.churn {
            let joins = joins.load(std::sync::atomic::Ordering::Relaxed);
            assert!(joins > 0, "{way:?} proves nothing");
        }
    }

    fn bursts(&self) -> u32 {
        let counts = &self.source_faults.counts;
        counts.get(&Fault::Burst).copied().unwrap_or_default()
    }

    /// At most two gaps for each reader and fault. A reader's own leaving or
    /// pausing is a fault too; a burst counts as often as it can overrun the
    /// history.
    fn check_reader(&self, reader: &str, kept: &Kept) {
        assert!(kept.events > 0 && kept.fills > 0, "{reader} proves nothing");
        let gaps = |reason: &str| kept.gaps.get(reason).copied().unwrap_or_default();
        let all: u32 = kept.gaps.values().sum();
        let (lost, slow) = (gaps("source_lost"), gaps("slow_reader"));
        let source = self.source_faults.total();
        assert!(lost <= 2 * source, "{reader}: {lost} times source_lost");
        let faults = source + self.reader_faults.total();
        let bound = 2 * (faults + kept.connections);
        assert!(all - slow <= bound, "{reader}: {:?}", kept.gaps);
        let overruns = self.bursts() * BURST.unsigned_abs().div_ceil(INTAKE);
        let bound = 2 * (faults + kept.pauses) + overruns;
        assert!(slow <= bound, "{reader}: {slow} times slow_reader");
    }
}
