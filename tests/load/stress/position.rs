//! A stream's positions: of a channel, of a pending join, of a cursor.

use super::ledger::{CHANNELS, Id, Ledger};

/// A breach of the contract.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Violation {
    /// This note was due before what came.
    Missing(u64),
    Other(String),
}

pub type Judged = Result<(), Violation>;

/// A cursor, and which notes a reader that hands it in must and must not get.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    pub text: String,
    pub gateway: usize,
    pub sequence: u64,
    /// No note before this one comes after the cursor.
    pub low: u64,
    /// By channel: from here on all that is committed comes after the cursor.
    pub due: [u64; CHANNELS],
}

/// One channel of the stream.
#[derive(Debug)]
pub struct Track {
    /// The index of the channel's first note that may still come.
    pub next: usize,
    /// From here on all that is committed has to come.
    pub due: u64,
    /// The join that it waits for; 0 after its `ready`.
    pub join: u32,
    /// `unsubscribe` is on its way: nothing has to come.
    pub is_leaving: bool,
}

/// A `subscribe` that waits for its `ready`.
#[derive(Debug)]
pub struct Joining {
    /// The first join of a stream is 1.
    pub number: u32,
    pub channels: Vec<String>,
    pub cursor: Option<Cursor>,
    /// The gateway had all before this note when it was asked.
    pub seen: u64,
    /// After the last note of the replay.
    pub last: u64,
    /// Whether the cursor was answered by a gap.
    pub is_refused: bool,
}

pub fn violation(text: impl Into<String>) -> Violation {
    Violation::Other(text.into())
}

pub fn ensure(is_right: bool, text: impl FnOnce() -> String) -> Judged {
    if is_right {
        Ok(())
    } else {
        Err(violation(text()))
    }
}

impl Track {
    /// Passes what was not sent before `note`: nothing of it was due.
    pub fn pass(&mut self, notes: &[u64], note: u64, ledger: &Ledger) -> Judged {
        while let Some(&next) = notes.get(self.next).filter(|next| **next < note) {
            if next >= self.due && !self.is_leaving && ledger.is_committed(next) {
                return Err(Violation::Missing(next));
            }
            self.next += 1;
        }
        Ok(())
    }

    /// The first note before `end` that is due and has not come.
    pub fn missing(&self, notes: &[u64], end: u64, ledger: &Ledger) -> Option<u64> {
        let rest = notes.iter().skip(self.next).take_while(|note| **note < end);
        let mut due = rest.filter(|note| **note >= self.due && ledger.is_committed(**note));
        due.next().copied().filter(|_| !self.is_leaving)
    }
}

impl Joining {
    /// No note before this one comes any more: the gap that answers a cursor
    /// stands at the head.
    pub fn reached(&self) -> u64 {
        if self.is_refused {
            self.seen
        } else {
            self.last
        }
    }

    /// Accepts an event before the `ready`; the end of the replay so far.
    pub fn replayed(&mut self, note: u64, id: Option<&Id>) -> Result<&mut u64, Violation> {
        let cursor = self.cursor.as_ref().filter(|_| !self.is_refused);
        let cursor = cursor.ok_or_else(|| violation(format!("{note} before `ready`")))?;
        ensure(id.is_none_or(|id| id.sequence > cursor.sequence), || {
            format!("{note} is before the cursor {}", cursor.text)
        })?;
        Ok(&mut self.last)
    }
}
