//! Options of the caller, from variables.

use std::path::PathBuf;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::{
    peers::{PEERS, Peer, RAW},
    report::DRAWN,
    scenario::{SCENARIOS, Scenario},
};

/// Descriptors of a process that are not for readers.
const RESERVED: usize = 500;

/// Measurements of the gateway alone, beside the scenarios; on by default.
#[derive(Debug, Clone, Copy)]
pub enum Alone {
    Intake,
    Churn,
}

const ALONE: [(&str, Alone); 2] = [("intake", Alone::Intake), ("churn", Alone::Churn)];

pub struct Settings {
    pub rounds: usize,
    pub scenarios: Vec<Scenario>,
    pub alone: Vec<Alone>,
    /// The raw limit first: ratios need it.
    pub peers: Vec<Peer>,
    /// The measured program; another build can be compared.
    pub pgfan: PathBuf,
    /// Folder of the results and of the installed peers.
    pub folder: PathBuf,
    /// Whether all peers and all scenarios of the chart are measured.
    pub is_drawn: bool,
    /// Each takes a descriptor.
    pub most_connections: usize,
}

impl Settings {
    /// Reads `BENCH_ROUNDS`, `BENCH_ONLY`, `BENCH_PEERS`, `BENCH_PGFAN`; an
    /// unknown name is an error.
    pub fn read() -> Result<Self, String> {
        let target = concat!(env!("CARGO_MANIFEST_DIR"), "/target");
        let rounds = variable("BENCH_ROUNDS").unwrap_or_else(|| "5".to_owned());
        let rounds = rounds.parse().ok().filter(|rounds| *rounds > 0);
        let names = SCENARIOS.iter().map(|it| (it.name, it.is_default));
        let names: Vec<_> = names.chain(ALONE.map(|(name, _)| (name, true))).collect();
        let chosen_ones = chosen("BENCH_ONLY", &names)?;
        let scenarios = chosen_ones.iter().filter_map(|at| SCENARIOS.get(*at));
        let scenarios: Vec<_> = scenarios.copied().collect();
        let alone = chosen_ones
            .iter()
            .filter_map(|at| at.checked_sub(SCENARIOS.len()));
        let names = PEERS.map(|it| (it.name, it.is_default));
        let peers = chosen("BENCH_PEERS", &names)?;
        let peers = peers.into_iter().map(|at| PEERS[at]);
        let others = peers.filter(|peer| peer.name != RAW.name);
        let is_drawn = |name| scenarios.iter().any(|it: &Scenario| it.name == name);
        Ok(Self {
            rounds: rounds.ok_or("BENCH_ROUNDS is no number above 0")?,
            alone: alone.map(|at| ALONE[at].1).collect(),
            peers: std::iter::once(RAW).chain(others).collect(),
            pgfan: variable("BENCH_PGFAN")
                .map_or_else(|| format!("{target}/release/pgfan").into(), PathBuf::from),
            folder: format!("{target}/bench").into(),
            is_drawn: variable("BENCH_PEERS").is_none() && DRAWN.into_iter().all(is_drawn),
            scenarios,
            most_connections: descriptors().saturating_sub(RESERVED),
        })
    }
}

/// Indices of the names listed in a variable, or of the default ones.
fn chosen(variable_name: &str, names: &[(&str, bool)]) -> Result<Vec<usize>, String> {
    let Some(words) = variable(variable_name) else {
        let places = 0..names.len();
        return Ok(places.filter(|at| names[*at].1).collect());
    };
    let place = |word: &str| {
        let place = names.iter().position(|(name, _)| *name == word);
        let known: Vec<&str> = names.iter().map(|(name, _)| *name).collect();
        place.ok_or_else(|| format!("{variable_name}: {word} is none of {}", known.join(", ")))
    };
    let words = words.split([',', ' ']).filter(|word| !word.is_empty());
    words.map(place).collect()
}

fn variable(name: &str) -> Option<String> {
    pgfan::config::environment(name).filter(|value| !value.is_empty())
}

/// Raises the limit to the hard limit; children inherit it.
fn descriptors() -> usize {
    let maximum = getrlimit(Resource::Nofile).maximum;
    let all = Rlimit {
        current: maximum,
        maximum,
    };
    let _ = setrlimit(Resource::Nofile, all);
    let current = getrlimit(Resource::Nofile).current;
    current.map_or(usize::MAX, |limit| {
        usize::try_from(limit).unwrap_or(usize::MAX)
    })
}
