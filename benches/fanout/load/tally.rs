//! Received messages: losses, duplicates and order, by the numbers in the
//! payloads, per reader.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use crate::payload::{Finder, micros};

/// Progress of the thread, visible to others while it runs.
#[derive(Debug, Default)]
pub struct Progress {
    pub ready: AtomicUsize,
    pub closed: AtomicUsize,
    pub received: AtomicUsize,
    /// On the benchmark's clock, in microseconds.
    pub last_at: AtomicU64,
    /// CPU time of the thread, in nanoseconds.
    pub cpu: AtomicU64,
    pub stop: AtomicBool,
}

/// Totals of the thread at its end.
#[derive(Debug, Clone, Default)]
pub struct Counts {
    /// Messages received once, in the order of their numbers.
    pub received: usize,
    /// Messages received again, or after a later one.
    pub misplaced: usize,
    /// Connections closed by the server.
    pub closed: usize,
    /// Reason why the first of them closed.
    pub reason: Option<&'static str>,
    /// Latencies of the timed readers, in microseconds.
    pub latencies: Vec<u32>,
}

pub struct Tally {
    /// The next number expected, per reader.
    next: Vec<u32>,
    finder: Finder,
    counts: Counts,
    ready: usize,
    /// Readers whose connections were started.
    pub opened: usize,
    last_at: u64,
    progress: Arc<Progress>,
}

impl Tally {
    pub fn new(readers: usize, progress: Arc<Progress>) -> Self {
        Self {
            next: vec![0; readers],
            finder: Finder::default(),
            counts: Counts::default(),
            ready: 0,
            opened: 0,
            last_at: 0,
            progress,
        }
    }

    /// Readers that no longer wait: ready, or closed.
    pub fn present(&self) -> usize {
        self.ready + self.counts.closed
    }

    pub fn is_stopped(&self) -> bool {
        self.progress.stop.load(Ordering::Relaxed)
    }

    pub fn ready(&mut self) {
        self.ready += 1;
    }

    pub fn closed(&mut self, readers: usize, reason: &'static str) {
        self.counts.closed += readers;
        self.counts.reason.get_or_insert(reason);
    }

    /// Whether it was one of the published messages. `read_at` is the time of
    /// the read, for readers that are timed.
    pub fn message(&mut self, reader: usize, message: &[u8], read_at: Option<u64>) -> bool {
        let Some(stamp) = self.finder.stamp(message) else {
            return false;
        };
        let next = &mut self.next[reader];
        if stamp.number < *next {
            self.counts.misplaced += 1;
            return true;
        }
        *next = stamp.number + 1;
        self.counts.received += 1;
        if let Some(read_at) = read_at {
            let latency = read_at.saturating_sub(stamp.sent_at);
            let latency = u32::try_from(latency).unwrap_or(u32::MAX);
            self.counts.latencies.push(latency);
        }
        true
    }

    /// Called once per turn, since a turn may have many messages.
    pub fn publish(&mut self, cpu: Duration) {
        let progress = &self.progress;
        if progress.received.load(Ordering::Relaxed) != self.counts.received {
            self.last_at = micros();
        }
        let cpu = u64::try_from(cpu.as_nanos()).unwrap_or(u64::MAX);
        progress.cpu.store(cpu, Ordering::Relaxed);
        progress.last_at.store(self.last_at, Ordering::Relaxed);
        progress.ready.store(self.ready, Ordering::Relaxed);
        progress.closed.store(self.counts.closed, Ordering::Relaxed);
        let received = self.counts.received;
        progress.received.store(received, Ordering::Relaxed);
    }

    pub fn counts(&mut self) -> Counts {
        std::mem::take(&mut self.counts)
    }
}
