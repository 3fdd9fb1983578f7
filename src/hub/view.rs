//! Snapshots of what the hub holds and has counted, for monitoring. Each takes
//! the lock for a moment, never for long.

use std::time::SystemTime;

use super::{Hub, SourceState, State, readers::ChannelKey};
use crate::{
    event::{ChannelName, GAP_REASONS, WIRES},
    instruments::HistogramSnapshot,
};

/// Channels visited under one lock: some 100 µs.
const LOOK: usize = 1000;

/// State of the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceView {
    /// The source has not reported yet.
    Starting,
    /// It is proven to deliver.
    Live,
    /// It has lost its session.
    Interrupted,
}

impl SourceView {
    /// In the order of their numbers.
    pub const ALL: [Self; 3] = [Self::Starting, Self::Live, Self::Interrupted];

    /// The name in the public API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Live => "live",
            Self::Interrupted => "interrupted",
        }
    }
}

/// Snapshot of the hub. Counters start with the hub.
#[derive(Debug, Clone, PartialEq)]
pub struct View {
    /// State of the source, and since when, by the gateway's clock.
    pub source: (SourceView, SystemTime),
    /// How often the source was lost after it had been live.
    pub interruptions: u64,
    /// Whether the gateway is ready.
    pub is_ready: bool,
    /// Readers there are now, by wire.
    pub readers: [usize; WIRES],
    /// Channels listened to, or requested.
    pub channels: usize,
    /// Notifications that became events.
    pub events: u64,
    /// Notifications dropped because their channel is not listened to.
    pub unmatched: u64,
    /// Events delivered to readers, by transport.
    pub deliveries: [u64; WIRES],
    /// Gaps delivered to readers, by reason.
    pub gaps: [u64; GAP_REASONS],
    /// Cursors that were honoured, and those that were answered by a gap.
    pub resumes: [u64; 2],
    /// Deliveries by the time since receipt.
    pub latency: HistogramSnapshot,
    /// Events in the log.
    pub log_events: usize,
    /// Bytes of the events and their encodings.
    pub log_bytes: usize,
}

/// One channel that is listened to, or requested.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelView {
    /// Its name.
    pub name: ChannelName,
    /// Present readers.
    pub readers: usize,
    /// Its events since the channel was created.
    pub events: u64,
}

impl State {
    fn source(&self) -> (SourceView, SystemTime) {
        match self.source {
            SourceState::Starting => (SourceView::Starting, self.source_since),
            SourceState::Live => (SourceView::Live, self.source_since),
            SourceState::Interrupted { since } => (SourceView::Interrupted, since),
        }
    }
}

impl Hub {
    /// A snapshot of the present state.
    pub fn view(&self) -> View {
        let counters = &self.shared.counters;
        let state = self.lock();
        View {
            source: state.source(),
            interruptions: state.interruptions,
            is_ready: state.readiness().is_ok(),
            readers: state.readers.by_wire(),
            channels: state.readers.channels(),
            events: state.log.appended(),
            unmatched: state.unmatched,
            deliveries: counters.deliveries.sums(),
            gaps: counters.gaps.sums(),
            resumes: counters.resumes.sums(),
            latency: counters.latency.spread(),
            log_events: state.log.events(),
            log_bytes: state.log.bytes(),
        }
    }

    /// All channels, in no order. One that is added or removed meanwhile may be
    /// missing.
    pub fn channels(&self) -> Vec<ChannelView> {
        let mut channels = Vec::new();
        let mut next: ChannelKey = 0;
        while let Some(after) = self.lock().readers.view(next, LOOK, &mut channels) {
            next = after;
        }
        channels
    }
}
