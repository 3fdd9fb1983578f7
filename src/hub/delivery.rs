//! Items of a subscription's stream, and cursors.

use std::{sync::Arc, time::SystemTime};

use crate::event::{ChannelName, Event, EventId, GapReason};

/// One item of a subscription's stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivery {
    /// The reader is up to date: what its cursor asked for has been delivered,
    /// and every later committed event of these channels follows, or a gap in
    /// its place.
    Ready {
        /// The channels of one `join`, in its order.
        channels: Vec<ChannelName>,
        /// Position of the reader, as a cursor.
        cursor: EventId,
    },
    /// One notification.
    Event(Arc<Event>),
    /// Events may be missing here.
    Gap {
        /// Position of the reader, as a cursor.
        id: EventId,
        /// Reason of the gap.
        reason: GapReason,
    },
    /// No event will arrive until `Live`; a `Gap` comes before it if anything may be
    /// missing.
    Interrupted {
        /// When the source was lost.
        since: SystemTime,
    },
    /// The source is proven to deliver again.
    Live {
        /// Position of the reader, as a cursor.
        cursor: EventId,
    },
}

/// Position from which a client asks to resume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cursor {
    /// An id that this program may have issued.
    At(EventId),
    /// Any other text; answered by a gap.
    Invalid,
}
