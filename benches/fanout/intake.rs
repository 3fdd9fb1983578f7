//! Notifications per second received from one database session: by a listener
//! that only counts, which is the limit, and by the gateway.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use futures_util::StreamExt;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::oneshot,
    time::{Instant, sleep, timeout},
};
use tokio_postgres::{AsyncMessage, NoTls};

use crate::{
    load::{Load, Plan, Target},
    measure::connected,
    peers::{PGFAN, Start},
    publish::{Feed, Message},
    report::median,
    world::World,
};

const CHANNEL: &str = "intake";

/// About one second of work.
const NOTIFICATIONS: usize = 200_000;

/// Per transaction: more cost the server's backend, not the listener.
const PIECE: usize = 100;

/// Interval for polling the number received.
const LOOK: Duration = Duration::from_millis(10);

/// Timeout: longer than any listener takes.
const LIMIT: Duration = Duration::from_secs(60);

const CASES: [Case; 3] = [
    Case::Bare,
    Case::Gateway { readers: 1 },
    Case::Gateway { readers: 1000 },
];

#[derive(Debug, Clone, Copy)]
enum Case {
    Bare,
    Gateway { readers: usize },
}

/// Result of one case in one round.
#[derive(Debug, Clone, Copy)]
struct Intake {
    /// Notifications per second, from the first to the last one received.
    rate: f64,
    /// Time from the last commit until the last one was received.
    behind: Duration,
}

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Prints the table: medians of the rounds, and the ratio to the bare listener
/// of the same round.
pub async fn bench(world: &World) -> Result<()> {
    let mut rounds = Vec::new();
    for round in 1..=world.settings.rounds {
        let mut intakes = Vec::new();
        for case in CASES {
            eprintln!("intake round {round}: {case:?}");
            intakes.push(intake(world, case).await?);
        }
        rounds.push(intakes);
    }
    println!("\nintake: {NOTIFICATIONS} notifications, {PIECE} a transaction");
    println!(
        "{:<24}{:>12}{:>10}{:>12}",
        "", "taken/s", "x bare", "behind ms"
    );
    for (at, case) in CASES.iter().enumerate() {
        let of = |value: fn(Intake) -> f64| median(rounds.iter().map(|round| value(round[at])));
        let ratio = median(rounds.iter().map(|round| round[at].rate / round[0].rate));
        let (rate, behind) = (of(|it| it.rate), of(|it| it.behind.as_secs_f64() * 1e3));
        println!("{:<24}{rate:>12.0}{ratio:>10.2}{behind:>12.0}", case.name());
    }
    Ok(())
}

impl Case {
    fn name(self) -> String {
        match self {
            Self::Bare => "bare listener".to_owned(),
            Self::Gateway { readers } => format!("pgfan, {readers} readers"),
        }
    }
}

async fn intake(world: &World, case: Case) -> Result<Intake> {
    match case {
        Case::Bare => {
            let listener = Bare::listen(world.database_url().to_owned()).await?;
            let taken = async || Ok(listener.taken.load(Ordering::Relaxed));
            measure(world, taken).await
        }
        Case::Gateway { readers } => gateway(world, readers).await,
    }
}

async fn gateway(world: &World, readers: usize) -> Result<Intake> {
    let server = match PGFAN.start(world).await? {
        Start::Running(server) => server,
        Start::Missing(what) => return Err(what.into()),
    };
    let address = server.address;
    let load = Load::start(Plan {
        target: Target {
            address,
            tls: None,
            from: None,
        },
        requests: PGFAN.requests(&vec![vec![CHANNEL.to_owned()]; readers]),
        timed_every: 20,
        batch: Duration::from_millis(2),
    })?;
    let result = async {
        connected(&load, readers).await?;
        measure(world, async || events(address).await).await
    };
    let result = result.await;
    load.stop();
    server.stop().await;
    result
}

/// Publishes as fast as one session can.
async fn measure(world: &World, taken: impl AsyncFn() -> io::Result<usize>) -> Result<Intake> {
    let mut feed = Feed::notify(world.database_url()).await?;
    let begun = Instant::now();
    let numbers = 0..u32::try_from(NOTIFICATIONS)?;
    let message = |number| Message {
        channel: CHANNEL.to_owned(),
        number,
    };
    let messages: Vec<Message> = numbers.map(message).collect();
    for piece in messages.chunks(PIECE) {
        feed.publish(piece).await?;
    }
    let published = Instant::now();
    let all = async {
        while taken().await? < NOTIFICATIONS {
            sleep(LOOK).await;
        }
        Ok::<_, io::Error>(())
    };
    timeout(LIMIT, all).await??;
    Ok(Intake {
        rate: NOTIFICATIONS as f64 / begun.elapsed().as_secs_f64(),
        behind: published.elapsed(),
    })
}

/// Number received, by the gateway's metrics.
async fn events(address: SocketAddr) -> io::Result<usize> {
    let mut socket = TcpStream::connect(address).await?;
    let request = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    socket.write_all(request).await?;
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await?;
    let count = answer
        .lines()
        .find_map(|line| line.strip_prefix("pgfan_events_total "));
    let count = count.and_then(|count| count.trim().parse().ok());
    count.ok_or_else(|| io::Error::other(format!("no count of events: {answer}")))
}

/// A bare listener, on a thread as the gateway is in a process.
struct Bare {
    taken: Arc<AtomicUsize>,
    /// Dropping it ends the thread.
    _session: oneshot::Sender<()>,
}

impl Bare {
    async fn listen(url: String) -> Result<Self> {
        let taken = Arc::new(AtomicUsize::new(0));
        let (listening, is_listening) = oneshot::channel();
        let (session, ended) = oneshot::channel();
        let counter = Arc::clone(&taken);
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            runtime.unwrap().block_on(async {
                tokio::select! {
                    result = count(url, &counter, listening) => result.unwrap(),
                    _ = ended => {}
                }
            });
        });
        is_listening.await?;
        Ok(Self {
            taken,
            _session: session,
        })
    }
}

async fn count(
    url: String,
    taken: &AtomicUsize,
    listening: oneshot::Sender<()>,
) -> std::result::Result<(), tokio_postgres::Error> {
    let (client, mut connection) = tokio_postgres::connect(&url, NoTls).await?;
    let mut messages = futures_util::stream::poll_fn(move |cx| connection.poll_message(cx));
    let counting = async {
        while let Some(message) = messages.next().await {
            if let AsyncMessage::Notification(_) = message? {
                taken.fetch_add(1, Ordering::Relaxed);
            }
        }
        Ok(())
    };
    let listen = async {
        client.batch_execute(&format!("LISTEN {CHANNEL}")).await?;
        let _ = listening.send(());
        std::future::pending::<std::result::Result<(), _>>().await
    };
    tokio::try_join!(counting, listen).map(|((), ())| ())
}
