//! The boundaries at which a stream of messages is split to fit the client's
//! flow-control window. A status can follow a whole message when the window is
//! shut, since only DATA is flow-controlled (RFC 9113, section 5.2.1). After the
//! first part of a message most clients report INTERNAL instead. A small message
//! therefore waits until the window has room for all of it.

use crate::transport::connection::body_deadline::PREFIX;

/// The longest message that waits for room. The unused rest of the window is
/// taken from the connection's other streams: 64 stalled streams hold as much as
/// the smallest connection window of a gRPC client, 64 KiB.
const MAX_WAITING: usize = 1 << 10;

/// A message waits if it is at most this fraction of the widest window seen on
/// the stream. Clients reopen a window when a quarter or a half of it is read, so
/// one that has read everything always has room for an eighth.
const PART: usize = 8;

/// Position within the messages of a stream, and its widest window.
#[derive(Debug, Default)]
pub(super) struct Cuts {
    /// Bytes left of a message that was split.
    owed: usize,
    widest: usize,
}

impl Cuts {
    /// Whether the stream is at the end of a message.
    pub(super) fn is_whole(&self) -> bool {
        self.owed == 0
    }

    /// The window had this much room.
    pub(super) fn saw(&mut self, room: usize) {
        self.widest = self.widest.max(room);
    }

    /// The number of bytes of `rest` to send into `room`; 0 if they wait for
    /// more room. `rest` continues where the last part ended.
    pub(super) fn part(&mut self, rest: &[u8], room: usize) -> usize {
        self.saw(room);
        if self.owed > room {
            self.owed -= room;
            return room;
        }
        let mut end = std::mem::take(&mut self.owed);
        while end < rest.len() && end + first(&rest[end..]) <= room {
            end += first(&rest[end..]);
        }
        if end > 0 || rest.is_empty() {
            return end;
        }
        let length = first(rest);
        let waits = length <= MAX_WAITING && length * PART <= self.widest;
        if waits || room == 0 {
            return 0;
        }
        self.owed = length - room;
        room
    }
}

/// The length of the first message, with its prefix.
fn first(messages: &[u8]) -> usize {
    match messages {
        [_, a, b, c, d, ..] => {
            let length = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
            (PREFIX + length).min(messages.len())
        }
        _ => messages.len(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn message(length: usize) -> Vec<u8> {
        let prefix = u32::try_from(length).unwrap().to_be_bytes();
        [&[0], &prefix[..], &vec![1; length]].concat()
    }

    #[test]
    fn a_small_message_waits_for_room_and_a_large_one_does_not() {
        let mut cuts = Cuts::default();
        let small = message(95).repeat(3);
        assert_eq!(cuts.part(&small, 1000), 300);
        assert_eq!(cuts.part(&small, 250), 200);
        assert_eq!(cuts.part(&small[200..], 50), 0);
        assert!(cuts.is_whole());
        let large = message(2000);
        assert_eq!(cuts.part(&large, 50), 50);
        assert!(!cuts.is_whole());
        assert_eq!(cuts.part(&large[50..], 5000), 1955);
        assert!(cuts.is_whole());
    }

    /// It never has room for a whole message.
    #[test]
    fn a_narrow_window_is_used() {
        let mut cuts = Cuts::default();
        let small = message(95);
        assert_eq!(cuts.part(&small, 20), 20);
        assert_eq!(cuts.part(&small[20..], 10), 10);
        assert_eq!(cuts.part(&small[30..], 70), 70);
        assert!(cuts.is_whole());
    }

    proptest! {
        /// A client that reads everything, and reopens its window when half of it
        /// is read, receives everything.
        #[test]
        fn who_reads_gets_all(
            lengths in prop::collection::vec(0_usize..3000, 1..40),
            window in 1_usize..20_000,
        ) {
            let messages: Vec<u8> = lengths.iter().flat_map(|length| message(*length)).collect();
            let mut cuts = Cuts::default();
            let (mut given, mut room) = (0, window);
            while given < messages.len() {
                let part = cuts.part(&messages[given..], room);
                prop_assert!(part <= room);
                given += part;
                room -= part;
                if window - room >= window.div_ceil(2) {
                    room = window;
                } else {
                    prop_assert!(part > 0);
                }
            }
            prop_assert!(cuts.is_whole());
        }
    }
}
