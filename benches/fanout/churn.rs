//! Readers that connect, become ready and leave, continuously: the gateway's
//! cost for each, and the memory left afterwards.

use std::{net::Ipv4Addr, time::Duration};

use tokio::time::{Instant, sleep};

use crate::{
    load::{Load, Plan, Target},
    measure::connected,
    peers::{PEERS, Peer, Server, Start},
    process,
    report::median,
    world::World,
};

/// Readers that connect together; the next wave connects after they have left.
const WAVE: usize = 1000;

/// Duration of one measurement.
const TIME: Duration = Duration::from_secs(5);

/// Time for the gateway to finish its work after the last reader has left.
const SETTLE: Duration = Duration::from_millis(500);

/// Channels of the readers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Names {
    One,
    /// One new channel per reader: the gateway soon listens to its maximum, and
    /// drops one for each new one.
    Own,
}

const SCENES: [(&str, Names); 4] = [
    ("pgfan-ws", Names::One),
    ("pgfan-sse", Names::One),
    ("pgfan-grpc", Names::One),
    ("pgfan-ws", Names::Own),
];

/// Result of one transport in one round.
#[derive(Debug, Clone, Copy)]
struct Churn {
    /// Readers per second that connected and left.
    rate: f64,
    /// The gateway's CPU time per reader, in microseconds.
    cpu: f64,
    /// Time of a wave in the last fifth, relative to the first.
    slower: f64,
    /// Memory growth of the gateway since the first wave, in KiB.
    left: f64,
}

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Prints the table: medians of the rounds.
pub async fn bench(world: &World) -> Result<()> {
    println!(
        "\nchurn: {WAVE} readers at a time come and go for {} s",
        TIME.as_secs()
    );
    println!(
        "{:<16}{:>14}{:>10}{:>14}{:>12}",
        "", "come and go/s", "CPU us", "last / first", "KiB left"
    );
    for (name, names) in SCENES {
        let Some(peer) = PEERS.iter().find(|peer| peer.name == name) else {
            continue;
        };
        let what = match names {
            Names::One => name.to_owned(),
            Names::Own => format!("{name} names"),
        };
        let mut rounds = Vec::new();
        for round in 1..=world.settings.rounds {
            eprintln!("churn round {round}: {what}");
            rounds.push(churn(world, peer, names).await?);
        }
        let of = |value: fn(&Churn) -> f64| median(rounds.iter().map(value));
        let (rate, cpu) = (of(|it| it.rate), of(|it| it.cpu));
        let (slower, left) = (of(|it| it.slower), of(|it| it.left));
        println!("{what:<16}{rate:>14.0}{cpu:>10.1}{slower:>14.2}{left:>12.0}");
    }
    Ok(())
}

async fn churn(world: &World, peer: &Peer, names: Names) -> Result<Churn> {
    let server = match peer.start(world).await? {
        Start::Running(server) => server,
        Start::Missing(what) => return Err(what.into()),
    };
    let result = come_and_go(&server, peer, names).await;
    server.stop().await;
    result
}

async fn come_and_go(server: &Server, peer: &Peer, names: Names) -> Result<Churn> {
    let mut numbers = 0..;
    let mut next = async || wave(server, peer, names, numbers.next().unwrap()).await;
    next().await?;
    sleep(SETTLE).await;
    let before = process::usage(server.pid());
    let begun = Instant::now();
    let mut waves = Vec::new();
    while begun.elapsed() < TIME {
        waves.push(next().await?);
    }
    let took = begun.elapsed();
    sleep(SETTLE).await;
    let after = process::usage(server.pid());
    let readers = (waves.len() * WAVE) as f64;
    let fifth = waves.len().div_ceil(5);
    let sum = |waves: &[Duration]| waves.iter().sum::<Duration>().as_secs_f64();
    Ok(Churn {
        rate: readers / took.as_secs_f64(),
        cpu: (after.cpu - before.cpu).as_secs_f64() * 1e6 / readers,
        slower: sum(&waves[waves.len() - fifth..]) / sum(&waves[..fifth]),
        left: after.memory.saturating_sub(before.memory) as f64 / 1024.0,
    })
}

/// Duration of a wave. Each of 256 waves has its own source address, which has
/// 28,000 ports and keeps one for a minute after its connection.
async fn wave(server: &Server, peer: &Peer, names: Names, number: usize) -> Result<Duration> {
    let begun = Instant::now();
    let channel = |reader| match names {
        Names::One => "churn".to_owned(),
        Names::Own => format!("churn-{number}-{reader}"),
    };
    let channels: Vec<_> = (0..WAVE).map(|reader| vec![channel(reader)]).collect();
    let load = Load::start(Plan {
        target: Target {
            address: server.address,
            tls: None,
            from: Some(Ipv4Addr::new(127, 0, 1, number as u8)),
        },
        requests: peer.requests(&channels),
        timed_every: WAVE,
        batch: Duration::from_millis(1),
    })?;
    let ready = connected(&load, WAVE).await;
    load.stop();
    ready.map(|()| begun.elapsed())
}
