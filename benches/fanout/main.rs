//! `make bench`: the server's cost of a delivery, next to the limit of the
//! machine and to other servers, in one run.
//!
//! The limit is a bare loop that writes frames encoded in advance (`raw.rs`).
//! Each round measures it beside the others, since a machine's speed changes
//! from minute to minute. The server's CPU time is that of its processes;
//! readers (`load`) and publisher are this process.

#![allow(
    clippy::unwrap_used,
    missing_docs,
    unreachable_pub,
    reason = "a benchmark has no public face, and fails by panicking"
)]

/// Payloads, and the clock.
mod payload;

/// Processes: their resource usage and their end.
mod process;

/// The readers, all on one thread.
mod load;

/// Publishers for the servers.
mod publish;

/// The limit, as a server.
mod raw;

/// The measured servers.
mod peers;

/// The scenarios.
mod scenario;

/// Throughput of the source.
mod intake;

/// Readers that connect and leave.
mod churn;

/// The caller's options.
mod settings;

/// The database, and the settings.
mod world;

/// One measurement.
mod measure;

/// Table, JSON, chart.
mod report;

use std::{error::Error, fs, process::ExitCode};

use measure::measure;
use report::Results;
use scenario::Scenario;
use settings::{Alone, Settings};
use tokio::signal::unix::{SignalKind, signal};
use world::World;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let result = if words.first().is_some_and(|word| word == raw::ARGUMENT) {
        raw::run(raw::Mode::from_arguments(&words)).map_err(Into::into)
    } else {
        until_interrupted()
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Ends all it started also if interrupted, by dropping it.
#[tokio::main(flavor = "current_thread")]
async fn until_interrupted() -> Result<(), Box<dyn Error>> {
    let mut terminated = signal(SignalKind::terminate())?;
    tokio::select! {
        result = bench() => result,
        _ = terminated.recv() => Err("terminated".into()),
        _ = tokio::signal::ctrl_c() => Err("interrupted".into()),
    }
}

async fn bench() -> Result<(), Box<dyn Error>> {
    let settings = Settings::read()?;
    fs::create_dir_all(&settings.folder)?;
    let world = World::new(settings).await?;
    let mut all = Vec::new();
    for scenario in &world.settings.scenarios {
        let results = rounds(&world, *scenario).await;
        print!("{}", report::table(&results));
        all.push(results);
        // Saved each time: a run that is interrupted keeps its results.
        save(&world.settings, &all)?;
    }
    for part in &world.settings.alone {
        match part {
            Alone::Intake => intake::bench(&world).await?,
            Alone::Churn => churn::bench(&world).await?,
        }
    }
    println!("\n{}", report::conditions());
    Ok(())
}

fn save(settings: &Settings, all: &[Results]) -> Result<(), Box<dyn Error>> {
    let text = serde_json::to_string_pretty(&report::json(all))?;
    fs::write(settings.folder.join("results.json"), text + "\n")?;
    let Some(chart) = report::chart(all) else {
        return Ok(());
    };
    fs::write(settings.folder.join("chart.svg"), &chart)?;
    if settings.is_drawn {
        let kept = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/chart.svg");
        fs::write(kept, chart)?;
    }
    Ok(())
}

async fn rounds(world: &World, scenario: Scenario) -> Results {
    let peers = world.settings.peers.iter().copied();
    let peers = peers.filter(|peer| scenario.suits(peer)).collect();
    let mut results = Results {
        scenario,
        peers,
        outcomes: Vec::new(),
    };
    for round in 1..=world.settings.rounds.min(scenario.most_rounds) {
        let mut outcomes = Vec::new();
        for peer in &results.peers {
            eprintln!("{} round {round}: {}", scenario.name, peer.name);
            outcomes.push(measure(world, peer, &scenario).await);
        }
        results.outcomes.push(outcomes);
    }
    results
}
