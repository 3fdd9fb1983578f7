//! A network link to a server, whose state a test sets: frozen, slow, lossy,
//! dead or cut.

use std::{
    os::fd::AsFd,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use socket2::{SockFilter, SockRef};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    select,
    sync::{mpsc, watch},
    task::{JoinHandle, JoinSet},
    time::{Instant, sleep_until},
};

/// Chunks on their way in one direction; at the limit the sender waits, as with
/// any network.
const IN_FLIGHT: usize = 256;

const CHUNK: usize = 16 << 10;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Weather {
    /// Port that a new connection leads to.
    to: u16,
    /// Nothing passes, and TCP stays up: a middlebox that hangs.
    frozen: bool,
    latency: Duration,
    /// Percentage of the packets to the link that are lost before TCP sees
    /// them; 100 is a pulled cable.
    loss: u32,
    /// Incremented when every connection is to be reset.
    cuts: u32,
}

pub struct Link {
    pub port: u16,
    weather: watch::Sender<Weather>,
    accepted: Arc<AtomicUsize>,
    accepting: JoinHandle<()>,
}

impl Link {
    pub async fn to(port: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let (weather, seen) = watch::channel(Weather {
            to: port,
            ..Weather::default()
        });
        let accepted = Arc::default();
        Self {
            port: listener.local_addr().unwrap().port(),
            weather,
            accepted: Arc::clone(&accepted),
            accepting: tokio::spawn(accept(listener, seen, accepted)),
        }
    }

    /// The next connections go to another server.
    pub fn lead_to(&self, port: u16) {
        self.weather.send_modify(|weather| weather.to = port);
    }

    /// Number of connections accepted so far.
    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::Relaxed)
    }

    /// Freezes the link; new connections are accepted, but carry no data
    /// either.
    pub fn freeze(&self) {
        self.weather.send_modify(|weather| weather.frozen = true);
    }

    pub fn thaw(&self) {
        self.weather.send_modify(|weather| weather.frozen = false);
    }

    /// Sets the latency of each direction.
    pub fn delay(&self, latency: Duration) {
        self.weather
            .send_modify(|weather| weather.latency = latency);
    }

    /// Sets the percentage of lost packets, including those that open a
    /// connection.
    pub fn lose(&self, percent: u32) {
        self.weather.send_modify(|weather| weather.loss = percent);
    }

    /// Resets every connection; new ones are carried.
    pub fn cut(&self) {
        self.weather.send_modify(|weather| weather.cuts += 1);
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(
    listener: TcpListener,
    mut weather: watch::Receiver<Weather>,
    count: Arc<AtomicUsize>,
) {
    loop {
        set_loss(&listener, &weather.borrow_and_update());
        select! {
            accepted = listener.accept() => {
                let (near, _) = accepted.unwrap();
                count.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(carry(near, weather.clone()));
            }
            changed = weather.changed() => if changed.is_err() {
                return;
            }
        }
    }
}

/// Carries both directions until one side has ended or the link is cut.
async fn carry(near: TcpStream, mut weather: watch::Receiver<Weather>) {
    let port = weather.borrow().to;
    let Ok(far) = TcpStream::connect(("127.0.0.1", port)).await else {
        return;
    };
    let cuts = weather.borrow().cuts;
    let sockets = [&near, &far].map(|socket| SockRef::from(socket).try_clone().unwrap());
    let ((near_read, near_write), (far_read, far_write)) = (near.into_split(), far.into_split());
    let mut ways = JoinSet::new();
    ways.spawn(way(near_read, far_write, weather.clone()));
    ways.spawn(way(far_read, near_write, weather.clone()));
    loop {
        let now = *weather.borrow_and_update();
        for socket in &sockets {
            set_loss(socket, &now);
            if now.cuts != cuts {
                // So that closing it sends a reset.
                socket.set_linger(Some(Duration::ZERO)).unwrap();
            }
        }
        if now.cuts != cuts {
            return;
        }
        select! {
            _ = ways.join_next() => return,
            changed = weather.changed() => if changed.is_err() {
                return;
            }
        }
    }
}

/// Carries one direction: each chunk is passed on when its latency has passed.
async fn way(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut weather: watch::Receiver<Weather>,
) {
    let (sender, mut in_flight) = mpsc::channel::<(Instant, Vec<u8>)>(IN_FLIGHT);
    let latency = weather.clone();
    let take_in = async move {
        loop {
            let mut chunk = Vec::with_capacity(CHUNK);
            let length = from.read_buf(&mut chunk).await.unwrap_or(0);
            let due = Instant::now() + latency.borrow().latency;
            if length == 0 || sender.send((due, chunk)).await.is_err() {
                return;
            }
        }
    };
    let pass_on = async move {
        while let Some((due, chunk)) = in_flight.recv().await {
            sleep_until(due).await;
            let passes = |now: &Weather| !now.frozen && now.loss < 100;
            let is_gone = weather.wait_for(passes).await.is_err();
            if is_gone || to.write_all(&chunk).await.is_err() {
                return;
            }
        }
    };
    tokio::join!(take_in, pass_on);
}

/// Sets the loss by a filter in the kernel, before TCP sees a packet and
/// acknowledges it
/// (<https://www.kernel.org/doc/html/latest/networking/filter.html>). An
/// accepted socket inherits the filter of its listener.
fn set_loss(socket: &impl AsFd, weather: &Weather) {
    const LOAD_ABSOLUTE: u16 = 0x20;
    const JUMP_IF_GREATER_OR_EQUAL: u16 = 0x35;
    const RETURN: u16 = 0x06;
    const RANDOM_NUMBER: u32 = 0xFFFF_F000 + 56;
    let socket = SockRef::from(socket);
    if weather.loss == 0 {
        // Fails if there was none.
        let _ = socket.detach_filter();
        return;
    }
    let lost = u64::from(weather.loss) * (1 << 32) / 100;
    let program = [
        SockFilter::new(LOAD_ABSOLUTE, 0, 0, RANDOM_NUMBER),
        SockFilter::new(
            JUMP_IF_GREATER_OR_EQUAL,
            1,
            0,
            u32::try_from(lost).unwrap_or(u32::MAX),
        ),
        SockFilter::new(RETURN, 0, 0, 0),
        SockFilter::new(RETURN, 0, 0, u32::MAX),
    ];
    socket.attach_filter(&program).unwrap();
}
