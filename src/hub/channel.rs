//! One channel that is listened to, or requested.

use std::collections::HashSet;

use tokio::time::Instant;

use super::{
    channel_quota::ClientKey, fanout_worker::WorkerSet, log::HistoryKey, readers::ReaderKey,
};
use crate::{channel_demand::Generation, event::ChannelName};

/// State of a channel's LISTEN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ListenState {
    /// LISTEN has not committed yet.
    Asked,
    /// LISTEN has committed; a lost session repeats it before it is live.
    Committed(HistoryKey),
    /// The server cannot represent this name in its encoding; an earlier server
    /// perhaps could.
    Refused(Option<HistoryKey>),
}

impl ListenState {
    pub(super) fn history(self) -> Option<HistoryKey> {
        match self {
            Self::Asked => None,
            Self::Committed(history) => Some(history),
            Self::Refused(history) => history,
        }
    }
}

#[derive(Debug)]
pub(super) struct Channel {
    pub(super) name: ChannelName,
    pub(super) generation: Generation,
    pub(super) listening: ListenState,
    /// Readers that are woken for its events.
    pub(super) woken: HashSet<ReaderKey>,
    /// Readers that are attached to a worker.
    pub(super) attached: HashSet<ReaderKey>,
    /// The workers that have, or once had, one of those.
    pub(super) workers: WorkerSet,
    /// When the last reader left.
    pub(super) idle_since: Option<Instant>,
    /// Number of its events since it was created.
    pub(super) events: u64,
    /// The client whose limit it counts against.
    pub(super) owner: ClientKey,
    /// A reader of the owner; `None` if none is known.
    pub(super) owning_reader: Option<ReaderKey>,
}

impl Channel {
    /// A channel that this reader of this client asked for.
    pub(super) fn new(
        name: ChannelName,
        generation: Generation,
        (owner, reader): (ClientKey, ReaderKey),
    ) -> Self {
        Self {
            name,
            generation,
            listening: ListenState::Asked,
            woken: HashSet::new(),
            attached: HashSet::new(),
            workers: WorkerSet::default(),
            idle_since: None,
            events: 0,
            owner,
            owning_reader: Some(reader),
        }
    }

    pub(super) fn readers(&self) -> impl Iterator<Item = ReaderKey> {
        self.attached.iter().chain(&self.woken).copied()
    }

    pub(super) fn count(&self) -> usize {
        self.attached.len() + self.woken.len()
    }

    pub(super) fn leave(&mut self, reader: ReaderKey) {
        if !self.woken.remove(&reader) {
            self.attached.remove(&reader);
        }
        if self.owning_reader == Some(reader) {
            self.owning_reader = None;
        }
    }
}
