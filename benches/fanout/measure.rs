//! One measurement: a server, its readers, messages.

use std::{sync::atomic::Ordering, time::Duration};

use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use crate::{
    load::{Counts, Load, Plan, Target},
    payload::micros,
    peers::{Peer, Server, Start},
    process::{self, Usage},
    publish::Message,
    scenario::Scenario,
    world::World,
};

/// Timeouts: for all readers to connect, and for a server to deliver after the last message was
/// published; PGCacheWatch needs most of it.
const CONNECT_LIMIT: Duration = Duration::from_secs(60);
const DELIVER_LIMIT: Duration = Duration::from_secs(30);

/// A server that is silent for this long after its first delivery has finished; in microseconds.
const SILENCE: u64 = 5_000_000;

/// Interval for polling the progress of the readers' thread.
const LOOK: Duration = Duration::from_millis(5);

/// Time for a server to finish its own work before it is measured.
const SETTLE: Duration = Duration::from_millis(300);

/// Every n-th reader is timed.
const TIMED_EVERY: usize = 20;

/// Counters of one round.
#[derive(Debug, Clone, Default)]
pub struct Measured {
    pub readers: usize,
    pub published: usize,
    /// Deliveries required.
    pub expected: usize,
    pub counts: Counts,
    /// Time from the first message to the last delivery.
    pub took: Duration,
    /// Time until all readers were ready, and the server's CPU time in it.
    pub connecting: Duration,
    pub connecting_cpu: Duration,
    /// The server's memory for all readers, in bytes, before and after the messages.
    pub idle_memory: u64,
    pub memory: u64,
    /// The server's CPU time per second without messages.
    pub idle_cpu: Duration,
    /// CPU time of the server and of the readers, for all deliveries.
    pub cpu: Duration,
    pub readers_cpu: Duration,
}

pub enum Outcome {
    Measured(Box<Measured>),
    Missing(String),
    Failed(String),
}

pub async fn measure(world: &World, peer: &Peer, scenario: &Scenario) -> Outcome {
    let mut server = match peer.start(world).await {
        Ok(Start::Running(server)) => server,
        Ok(Start::Missing(what)) => return Outcome::Missing(what),
        Err(error) => return Outcome::Failed(error.to_string()),
    };
    let result = with(&mut server, world, peer, scenario).await;
    server.stop().await;
    match result {
        Ok(measured) => Outcome::Measured(Box::new(measured)),
        Err(error) => Outcome::Failed(error.to_string()),
    }
}

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

async fn with(
    server: &mut Server,
    world: &World,
    peer: &Peer,
    scenario: &Scenario,
) -> Result<Measured> {
    let most = world.settings.most_connections * peer.streams;
    let readers = scenario.readers.min(most);
    let channels = scenario.channels_of(readers);
    sleep(SETTLE).await;
    let before = process::usage(server.pid());
    let begun = Instant::now();
    let load = Load::start(Plan {
        target: Target {
            address: server.address,
            tls: server.tls.clone(),
            from: None,
        },
        requests: peer.requests(&channels),
        timed_every: TIMED_EVERY,
        batch: scenario.batch,
    })?;
    let mut measured = Measured {
        readers,
        ..Measured::default()
    };
    let result = async {
        connected(&load, readers).await?;
        measured.connecting = begun.elapsed();
        let idle = idle(server, scenario, before, &mut measured).await;
        let messages = messages(scenario);
        deliver(server, &load, scenario, &messages, &mut measured).await?;
        let after = process::usage(server.pid());
        measured.cpu = after.cpu.saturating_sub(idle.cpu);
        measured.memory = after.memory.saturating_sub(before.memory);
        Ok(())
    };
    let result = result.await;
    measured.counts = load.stop();
    match (&result, measured.counts.reason) {
        (Err(_), Some(reason)) => Err(format!("{}: {reason}", result.unwrap_err()).into()),
        _ => result.map(|()| measured),
    }
}

/// Messages to each channel in turn. One numbering for all, so that a reader of several channels
/// can check the order too.
fn messages(scenario: &Scenario) -> Vec<Message> {
    let to_all = 0..scenario.messages * scenario.channels;
    let message = |number: usize| Message {
        channel: Scenario::channel(number % scenario.channels),
        number: u32::try_from(number).unwrap(),
    };
    to_all.map(message).collect()
}

/// Waits until all readers are ready.
pub async fn connected(load: &Load, readers: usize) -> Result<()> {
    let limit = Instant::now() + CONNECT_LIMIT;
    loop {
        let ready = load.progress.ready.load(Ordering::Relaxed);
        let closed = load.progress.closed.load(Ordering::Relaxed);
        if ready == readers {
            return Ok(());
        }
        if ready + closed >= readers || Instant::now() > limit {
            return Err(format!("{ready} of {readers} readers became ready").into());
        }
        sleep(LOOK).await;
    }
}

/// Measures the idle server with its readers. Waits first: work of accepting them continues for a
/// while.
async fn idle(
    server: &Server,
    scenario: &Scenario,
    before: Usage,
    measured: &mut Measured,
) -> Usage {
    sleep(SETTLE).await;
    let start = process::cpu(server.pid());
    measured.connecting_cpu = start.saturating_sub(before.cpu);
    sleep(scenario.idle).await;
    let end = process::usage(server.pid());
    measured.idle_cpu = end
        .cpu
        .saturating_sub(start)
        .div_f64(scenario.idle.as_secs_f64());
    measured.idle_memory = end.memory.saturating_sub(before.memory);
    end
}

async fn deliver(
    server: &mut Server,
    load: &Load,
    scenario: &Scenario,
    messages: &[Message],
    measured: &mut Measured,
) -> Result<()> {
    let progress = &load.progress;
    measured.published = messages.len();
    measured.expected = measured.readers * scenario.each_reader_gets();
    let readers_cpu = progress.cpu.load(Ordering::Relaxed);
    let begun = micros();
    let mut ticks = interval(Duration::from_secs_f64(1.0 / scenario.rate));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    for piece in messages.chunks(scenario.burst) {
        ticks.tick().await;
        server.feed.publish(piece).await?;
    }
    let published = micros();
    let limit = Instant::now() + DELIVER_LIMIT;
    while progress.received.load(Ordering::Relaxed) < measured.expected && Instant::now() < limit {
        // Zero until the first delivery: PGCacheWatch is slow to start on a burst.
        let last = progress.last_at.load(Ordering::Relaxed);
        if last > 0 && micros().saturating_sub(last.max(published)) > SILENCE {
            break;
        }
        sleep(LOOK).await;
    }
    let last = progress.last_at.load(Ordering::Relaxed);
    measured.took = Duration::from_micros(last.saturating_sub(begun));
    let readers_cpu = progress
        .cpu
        .load(Ordering::Relaxed)
        .saturating_sub(readers_cpu);
    measured.readers_cpu = Duration::from_nanos(readers_cpu);
    Ok(())
}
