//! What the hub holds and has counted, for whoever watches it. A look takes
//! the lock for a moment, and never for long.

use std::time::SystemTime;

use super::{Hub, SourceState, State, readers::ChannelKey};
use crate::{
    event::{ChannelName, GAP_REASONS, WIRES},
    instruments::HistogramSnapshot,
};

/// Channels looked at under one lock: some 100 µs.
const LOOK: usize = 1000;

/// Whether anything comes from the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceView {
    /// Nothing was heard of it yet.
    Starting,
    /// It is proven.
    Live,
    /// It is lost, or suspect.
    Interrupted,
}

impl SourceView {
    /// Each at the place of its number.
    pub const ALL: [Self; 3] = [Self::Starting, Self::Live, Self::Interrupted];

    /// The contract's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Live => "live",
            Self::Interrupted => "interrupted",
        }
    }
}

/// See the module. What is counted began with the hub.
#[derive(Debug, Clone, PartialEq)]
pub struct View {
    /// The source, by the gateway's clock.
    pub source: (SourceView, SystemTime),
    /// How often the source was lost after it had been live.
    pub interruptions: u64,
    /// Whether the gateway does all it is there for.
    pub is_ready: bool,
    /// Readers there are now, by wire.
    pub readers: [usize; WIRES],
    /// Channels listened to, or asked for.
    pub channels: usize,
    /// Notifications that became events.
    pub events: u64,
    /// Notifications on channels that nobody reads any more.
    pub unmatched: u64,
    /// Events given to readers, by wire.
    pub deliveries: [u64; WIRES],
    /// Gaps given to readers, by reason.
    pub gaps: [u64; GAP_REASONS],
    /// Cursors that were honoured, and those that were answered by a gap.
    pub resumes: [u64; 2],
    /// Deliveries by how long after receipt they were made.
    pub latency: HistogramSnapshot,
    /// Events in the log.
    pub log_events: usize,
    /// What they take, with their encodings.
    pub log_bytes: usize,
}

/// One channel that is listened to, or asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelView {
    /// Its name.
    pub name: ChannelName,
    /// Readers it has now.
    pub readers: usize,
    /// Events it had since somebody reads it.
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
    /// What there is now.
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

    /// All channels there are, in no order. One that comes or goes meanwhile
    /// may be missing.
    pub fn channels(&self) -> Vec<ChannelView> {
        let mut channels = Vec::new();
        let mut next: ChannelKey = 0;
        while let Some(after) = self.lock().readers.view(next, LOOK, &mut channels) {
            next = after;
        }
        channels
    }
}
