//! Cursors that clients send to resume.

use crate::{event::EventId, hub::Cursor};

/// Parses a cursor. Empty text means none. Any text that is not an id is
/// [`Cursor::Invalid`], which is answered by a gap, never by an error.
pub(in crate::transport) fn cursor(text: &[u8]) -> Option<Cursor> {
    if text.is_empty() {
        return None;
    }
    let text = std::str::from_utf8(text).ok();
    let id = text.and_then(|text| text.parse::<EventId>().ok());
    Some(id.map_or(Cursor::Invalid, Cursor::At))
}

/// The latest of several cursors. A polyfill's cursors come last: what it
/// appends is newer than the URL that it was given, unless both have the same
/// epoch and the sequence numbers show otherwise.
pub(in crate::transport) fn latest(cursors: impl Iterator<Item = Cursor>) -> Option<Cursor> {
    cursors.reduce(|one, other| match (one, other) {
        (Cursor::At(a), Cursor::At(b)) if a.epoch == b.epoch && a.sequence > b.sequence => one,
        _ => other,
    })
}
