//! One connection of a client.

use tokio::time::Instant;

use super::{
    judge::Judge,
    stream::{Stream, Wire},
};

pub struct Visit {
    pub wire: Wire,
    pub judge: Judge,
    pub stream: Stream,
    /// Since when it waits for a `ready`.
    pub asked: Instant,
    pub next_act: Instant,
    pub is_pausing: bool,
}

/// Whether the connection goes on.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    Stay,
    Leave,
}

impl Visit {
    pub fn new(wire: Wire, judge: Judge, stream: Stream) -> Self {
        Self {
            wire,
            judge,
            stream,
            asked: Instant::now(),
            next_act: Instant::now(),
            is_pausing: false,
        }
    }
}
