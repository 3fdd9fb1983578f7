//! The readers: many connections on one thread, which costs less than any of
//! the servers. Each counts its messages; a sample is timed.

mod connection;
mod grpc;
mod http;
mod sse;
mod stream;
mod tally;
mod websocket;

use std::{
    ops::Range,
    sync::{Arc, atomic::Ordering},
    thread::JoinHandle,
    time::Duration,
};

use mio::{Events, Interest, Poll, Token};

use self::{connection::Connection, tally::Tally};
pub use self::{
    http::{Request, Wire},
    stream::Target,
    tally::{Counts, Progress},
};
use crate::{payload::now, process};

/// Limit of connections without a first answer: a listener's backlog may be
/// this small.
const IN_FLIGHT: usize = 128;

/// Largest read; takes all that a burst left in a socket.
const BUFFER: usize = 256 << 10;

/// Other readers read in a row between two looks at the timed ones.
const OTHERS_IN_A_ROW: usize = 32;

/// Polling interval while connections are being made.
const WHILE_CONNECTING: Duration = Duration::from_millis(1);

/// Target and schedule of the connections.
pub struct Plan {
    pub target: Target,
    /// One request per connection, with as many streams as it names channels
    /// (gRPC) or one (the others).
    pub requests: Vec<Request>,
    /// Every n-th reader is timed, so that the timed ones are spread over the
    /// order of connecting, in which many servers write.
    pub timed_every: usize,
    /// Interval at which the others are read: in batches they cost less.
    pub batch: Duration,
}

/// The running thread.
pub struct Load {
    pub progress: Arc<Progress>,
    thread: JoinHandle<Counts>,
}

impl Load {
    pub fn start(plan: Plan) -> std::io::Result<Self> {
        let progress = Arc::new(Progress::default());
        let mut readers = Readers::new(plan, Arc::clone(&progress))?;
        let thread = std::thread::spawn(move || readers.run());
        Ok(Self { progress, thread })
    }

    /// Closes all connections.
    pub fn stop(self) -> Counts {
        self.progress.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

/// Connections that are polled together.
struct Group {
    poll: Poll,
    events: Events,
    ready: Vec<usize>,
}

impl Group {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            poll: Poll::new()?,
            events: Events::with_capacity(1024),
            ready: Vec::new(),
        })
    }

    /// Waits for readable connections, at most the capacity for events.
    fn wait(&mut self, limit: Duration) -> Range<usize> {
        self.ready.clear();
        if self.poll.poll(&mut self.events, Some(limit)).is_ok() {
            let tokens = self.events.iter().map(|event| event.token().0);
            self.ready.extend(tokens);
        }
        0..self.ready.len()
    }

    fn is_full(&self) -> bool {
        self.ready.len() == self.events.capacity()
    }
}

struct Readers {
    plan: Plan,
    connections: Vec<Connection>,
    timed: Group,
    others: Group,
    tally: Tally,
    buffer: Vec<u8>,
    total: usize,
}

impl Readers {
    fn new(plan: Plan, progress: Arc<Progress>) -> std::io::Result<Self> {
        let total = plan.requests.iter().map(Request::readers).sum();
        Ok(Self {
            connections: Vec::with_capacity(plan.requests.len()),
            timed: Group::new()?,
            others: Group::new()?,
            tally: Tally::new(total, progress),
            buffer: vec![0; BUFFER],
            plan,
            total,
        })
    }

    fn run(&mut self) -> Counts {
        let mut due = now();
        let before = process::own_thread_cpu();
        while !self.tally.is_stopped() {
            self.open_more();
            let pause = if self.tally.present() < self.total {
                WHILE_CONNECTING
            } else {
                self.plan.batch
            };
            self.read_timed(due.saturating_duration_since(now()));
            if now() >= due {
                self.read_others();
                due = due.max(now() - pause) + pause;
            }
            self.tally.publish(process::own_thread_cpu() - before);
        }
        self.tally.counts()
    }

    /// The first connects alone, and makes the server LISTEN: PGCacheWatch
    /// closes connections that arrive meanwhile.
    fn in_flight(&self) -> usize {
        IN_FLIGHT.min(1 + self.tally.present())
    }

    fn open_more(&mut self) {
        while self.connections.len() < self.plan.requests.len()
            && self.tally.opened < self.tally.present() + self.in_flight()
        {
            let index = self.connections.len();
            let request = &self.plan.requests[index];
            let first = self.tally.opened;
            let timed = index.is_multiple_of(self.plan.timed_every);
            let readers = request.readers();
            self.tally.opened += readers;
            let target = &self.plan.target;
            let mut connection = Connection::open(target, request, first, timed);
            let group = if timed { &self.timed } else { &self.others };
            let interest = Interest::READABLE | Interest::WRITABLE;
            if !connection.register(group.poll.registry(), Token(index), interest) {
                self.tally.closed(readers, "no connection could be made");
            }
            self.connections.push(connection);
        }
    }

    fn read_timed(&mut self, limit: Duration) {
        for at in self.timed.wait(limit) {
            let index = self.timed.ready[at];
            self.connections[index].turn(&mut self.buffer, &mut self.tally);
        }
    }

    fn read_others(&mut self) {
        loop {
            for at in self.others.wait(Duration::ZERO) {
                if at % OTHERS_IN_A_ROW == OTHERS_IN_A_ROW - 1 {
                    self.read_timed(Duration::ZERO);
                }
                let index = self.others.ready[at];
                self.connections[index].turn(&mut self.buffer, &mut self.tally);
            }
            if !self.others.is_full() {
                return;
            }
        }
    }
}
