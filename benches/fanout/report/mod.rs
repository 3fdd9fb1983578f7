//! Results, as medians over the rounds.

mod chart;
mod json;
mod table;

use serde::Serialize;

pub use self::{
    chart::{DRAWN, chart},
    json::json,
    table::table,
};
use crate::{
    measure::{Measured, Outcome},
    payload,
    peers::{Peer, RAW},
    scenario::Scenario,
};

/// One scenario in all rounds, one column per peer: `outcomes[round][peer]`.
pub struct Results {
    pub scenario: Scenario,
    pub peers: Vec<Peer>,
    pub outcomes: Vec<Vec<Outcome>>,
}

/// One server in one scenario; values that were not measured are `None`.
#[derive(Debug, Serialize)]
pub struct Row {
    pub peer: &'static str,
    /// Rounds measured to the end.
    pub rounds: usize,
    pub readers: usize,
    pub cpu_us_per_delivery: Option<f64>,
    /// Ratio of the CPU per delivery to the limit's in the same round.
    pub ratio_to_raw: Option<f64>,
    pub deliveries_per_second: Option<f64>,
    pub latency_p50_ms: Option<f64>,
    pub latency_p99_ms: Option<f64>,
    pub kib_per_idle_reader: Option<f64>,
    pub kib_per_reader: Option<f64>,
    pub idle_cpu_ms_per_second: Option<f64>,
    pub connect_cpu_us: Option<f64>,
    pub all_ready_seconds: Option<f64>,
    pub readers_cpu_us_per_delivery: Option<f64>,
    /// Sums over all rounds.
    pub expected: usize,
    pub undelivered: usize,
    pub misplaced: usize,
    /// Reason why it was skipped, or an error in some round.
    pub note: Option<String>,
}

impl Results {
    pub fn rows(&self) -> Vec<Row> {
        let peers = self.peers.iter().enumerate();
        peers.map(|(at, peer)| self.row(at, peer.name)).collect()
    }

    fn row(&self, at: usize, peer: &'static str) -> Row {
        let all = self.outcomes.iter().filter_map(|round| round.get(at));
        let mut notes = all.clone().filter_map(|outcome| match outcome {
            Outcome::Measured(_) => None,
            Outcome::Missing(what) => Some(format!("skipped: {what}")),
            Outcome::Failed(why) => Some(why.clone()),
        });
        let note = notes.next_back();
        let runs: Vec<&Measured> = all.filter_map(Outcome::measured).collect();
        let total = |of: fn(&Measured) -> usize| runs.iter().map(|run| of(run)).sum();
        let median = |of: fn(&Measured) -> Option<f64>| middle(runs.iter().filter_map(|it| of(it)));
        Row {
            peer,
            rounds: runs.len(),
            readers: runs.first().map_or(0, |run| run.readers),
            cpu_us_per_delivery: median(Measured::cpu_us),
            ratio_to_raw: self.ratio_to_raw(at),
            deliveries_per_second: median(Measured::per_second),
            latency_p50_ms: median(|run| run.latency_ms(50)),
            latency_p99_ms: median(|run| run.latency_ms(99)),
            kib_per_idle_reader: median(|run| run.per_reader(run.idle_memory)),
            kib_per_reader: median(|run| run.per_reader(run.memory)),
            idle_cpu_ms_per_second: median(|run| Some(run.idle_cpu.as_secs_f64() * 1e3)),
            connect_cpu_us: median(Measured::connect_us),
            all_ready_seconds: median(|run| Some(run.connecting.as_secs_f64())),
            readers_cpu_us_per_delivery: median(Measured::readers_us),
            expected: total(|run| run.expected),
            undelivered: total(|run| run.expected.saturating_sub(run.counts.received)),
            misplaced: total(|run| run.counts.misplaced),
            note,
        }
    }

    /// The limit is the first peer, if it is measured.
    fn ratio_to_raw(&self, at: usize) -> Option<f64> {
        if self.peers.first()?.name != RAW.name {
            return None;
        }
        let ratio = |round: &Vec<Outcome>| {
            let raw = round.first()?.measured()?.cpu_us()?;
            Some(round.get(at)?.measured()?.cpu_us()? / raw)
        };
        middle(self.outcomes.iter().filter_map(ratio))
    }
}

impl Outcome {
    fn measured(&self) -> Option<&Measured> {
        match self {
            Self::Measured(measured) => Some(measured),
            _ => None,
        }
    }
}

impl Measured {
    fn per_delivery(&self, value: f64) -> Option<f64> {
        (self.counts.received > 0).then(|| value / self.counts.received as f64)
    }

    fn cpu_us(&self) -> Option<f64> {
        self.per_delivery(self.cpu.as_secs_f64() * 1e6)
    }

    fn readers_us(&self) -> Option<f64> {
        self.per_delivery(self.readers_cpu.as_secs_f64() * 1e6)
    }

    fn per_second(&self) -> Option<f64> {
        let seconds = self.took.as_secs_f64();
        (seconds > 0.0).then(|| self.counts.received as f64 / seconds)
    }

    fn latency_ms(&self, percent: usize) -> Option<f64> {
        let mut latencies = self.counts.latencies.clone();
        latencies.sort_unstable();
        let at = (latencies.len() * percent / 100).min(latencies.len().checked_sub(1)?);
        Some(f64::from(latencies[at]) / 1e3)
    }

    fn per_reader(&self, bytes: u64) -> Option<f64> {
        (self.readers > 0).then(|| bytes as f64 / 1024.0 / self.readers as f64)
    }

    fn connect_us(&self) -> Option<f64> {
        (self.readers > 0).then(|| self.connecting_cpu.as_secs_f64() * 1e6 / self.readers as f64)
    }
}

fn middle(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let upper = *values.get(values.len() / 2)?;
    let lower = values[(values.len() - 1) / 2];
    Some((lower + upper) / 2.0)
}

/// NaN if there are no values.
pub fn median(values: impl Iterator<Item = f64>) -> f64 {
    middle(values).unwrap_or(f64::NAN)
}

/// Conditions of the measurement, for readers of the numbers alone.
pub fn conditions() -> String {
    format!(
        "payload {} bytes, loopback, medians over rounds; the ratio is to the raw limit of the same round",
        payload::LENGTH
    )
}
