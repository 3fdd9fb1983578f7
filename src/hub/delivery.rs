//! What a reader gets, and what it hands in to get it again.

use std::{sync::Arc, time::SystemTime};

use crate::event::{ChannelName, Event, EventId, GapReason};

/// What a reader gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivery {
    /// The reader is up to date: what its cursor asked for has been delivered,
    /// and every event of these channels committed after this was seen follows,
    /// or a gap in its place.
    Ready {
        /// The channels of one `join`, in its order.
        channels: Vec<ChannelName>,
        /// Where the reader is, as a cursor.
        cursor: EventId,
    },
    /// One notification.
    Event(Arc<Event>),
    /// Something may be missing here.
    Gap {
        /// Where the reader is, as a cursor.
        id: EventId,
        /// What happened.
        reason: GapReason,
    },
    /// Nothing will arrive until `Live`.
    Interrupted {
        /// When the source was lost.
        since: SystemTime,
    },
    /// The source is proven again.
    Live {
        /// Where the reader is, as a cursor.
        cursor: EventId,
    },
}

/// What a reader handed in to resume from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cursor {
    /// An id this program may have given.
    At(EventId),
    /// Something else; answered by a gap.
    Invalid,
}
