//! The scenarios.

use std::time::Duration;

use crate::peers::Peer;

/// Readers on channels, and messages to them.
#[derive(Debug, Clone, Copy)]
pub struct Scenario {
    pub name: &'static str,
    pub title: &'static str,
    pub readers: usize,
    pub channels: usize,
    /// Channels per reader, assigned in turn, all equally often.
    pub channels_each: usize,
    /// Messages per channel.
    pub messages: usize,
    /// Messages per burst.
    pub burst: usize,
    /// Bursts per second.
    pub rate: f64,
    /// Idle time of the readers before the first message, in which the idle
    /// server's CPU is measured. Shorter than pgfan's `--keepalive`: its pings
    /// are not included.
    pub idle: Duration,
    /// Interval at which readers that are not timed are read.
    pub batch: Duration,
    /// Limit of the rounds: more add little to a long measurement.
    pub most_rounds: usize,
    /// Whether it is measured by default.
    pub is_default: bool,
}

/// One channel; base of the other scenarios.
const CROWD: Scenario = Scenario {
    name: "",
    title: "",
    readers: 1000,
    channels: 1,
    channels_each: 1,
    messages: 100,
    burst: 1,
    rate: 20.0,
    idle: Duration::from_millis(300),
    batch: Duration::from_millis(20),
    most_rounds: usize::MAX,
    is_default: true,
};

pub const SCENARIOS: [Scenario; 7] = [
    Scenario {
        name: "s1b",
        title: "1,000 readers, 20 messages a second",
        ..CROWD
    },
    Scenario {
        name: "s2",
        title: "1,000 readers, a burst of 500 messages",
        messages: 500,
        burst: 500,
        batch: Duration::from_millis(2),
        ..CROWD
    },
    Scenario {
        name: "s1",
        title: "1,000 readers, 200 messages a second: more than can be had",
        messages: 1000,
        rate: 200.0,
        ..CROWD
    },
    Scenario {
        name: "s3",
        title: "10,000 readers on one channel, a message a second",
        readers: 10_000,
        messages: 10,
        rate: 1.0,
        idle: Duration::from_secs(4),
        most_rounds: 3,
        ..CROWD
    },
    Scenario {
        name: "s4",
        title: "10,000 channels with a reader each, a message to each at once",
        readers: 10_000,
        channels: 10_000,
        messages: 1,
        burst: 10_000,
        idle: Duration::from_secs(2),
        batch: Duration::from_millis(2),
        most_rounds: 3,
        ..CROWD
    },
    Scenario {
        name: "s5",
        title: "1,000 readers of 100 channels each, a message to each of 10,000 channels at once",
        channels: 10_000,
        channels_each: 100,
        messages: 1,
        burst: 10_000,
        idle: Duration::from_secs(2),
        batch: Duration::from_millis(2),
        most_rounds: 3,
        ..CROWD
    },
    Scenario {
        name: "idle",
        title: "10,000 readers that wait",
        readers: 10_000,
        messages: 0,
        idle: Duration::from_secs(4),
        most_rounds: 3,
        is_default: false,
        ..CROWD
    },
];

impl Scenario {
    /// The limit has no channels, and only the gateway accepts several on one
    /// stream; many streams on one connection matter for their memory, and
    /// streams end to end on one socket have no limit of one write each.
    pub fn suits(&self, peer: &Peer) -> bool {
        match (self.channels, self.channels_each) {
            (1, _) => peer.streams == 1 || self.readers > 1000,
            (_, 1) => peer.has_channels() && peer.streams == 1,
            _ => peer.takes_many_channels(),
        }
    }

    pub fn channel(number: usize) -> String {
        format!("bench_{number}")
    }

    /// The channels of each of the first `readers` readers.
    pub fn channels_of(&self, readers: usize) -> Vec<Vec<String>> {
        let each = self.channels_each;
        let number = |place| Self::channel(place % self.channels);
        let of_one = |reader| (reader * each..(reader + 1) * each).map(number).collect();
        (0..readers).map(of_one).collect()
    }

    /// Deliveries required per reader.
    pub fn each_reader_gets(&self) -> usize {
        self.messages * self.channels_each
    }
}
