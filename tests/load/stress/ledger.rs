//! The ledger of all notes: their order, how their transactions ended, and which
//! of them each gateway has delivered.
//!
//! One session writes, one transaction after the other, so the numbers of the
//! notes are the order of the commits.

/// Few, so that each reader has a good part of all notes.
pub const CHANNELS: usize = 12;

/// These always have readers. Each of the others has none at times, for longer than
/// `--linger`: the gateway gives it up, and listens to it again.
pub const COMMON: usize = 8;

/// One plain, one over TLS; each has a log, and cursors, of its own.
pub const GATEWAYS: usize = 2;

/// How a transaction ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It runs, or its session broke before it answered: its notes may come.
    Open,
    Committed,
    RolledBack,
}

#[derive(Debug, Clone, Copy)]
struct Note {
    channel: usize,
    transaction: usize,
}

/// The notes that a gateway has delivered to some reader.
#[derive(Debug, Default)]
struct Seen {
    /// After the newest note that some reader got: all before it the gateway has.
    end: u64,
    /// The sequence of the event that a note became, by note; 0 if not known.
    sequences: Vec<u64>,
    epoch: Option<String>,
}

#[derive(Debug, Default)]
pub struct Ledger {
    notes: Vec<Note>,
    outcomes: Vec<Outcome>,
    by_channel: [Vec<u64>; CHANNELS],
    seen: [Seen; GATEWAYS],
}

/// The text form is the contract's; to a client it is opaque.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Id {
    pub epoch: String,
    pub sequence: u64,
}

impl Id {
    /// `None` on a transport without ids.
    pub fn parse(text: &str) -> Option<Self> {
        let (epoch, sequence) = text.split_once('-')?;
        Some(Self {
            epoch: epoch.to_owned(),
            sequence: sequence.parse().ok()?,
        })
    }
}

pub fn name(channel: usize) -> String {
    format!("stress {channel}")
}

/// One of 40 is long, so that a reader that does not read soon has full buffers.
pub fn payload(note: u64) -> String {
    let length = if note.is_multiple_of(40) {
        4000
    } else {
        200 + note % 600
    };
    format!("{note} {}", ".".repeat(length as usize))
}

impl Ledger {
    /// A transaction with one note on each of `channels`, before it is sent;
    /// its number, and its notes'.
    pub fn begin(&mut self, channels: &[usize]) -> (usize, Vec<u64>) {
        let transaction = self.outcomes.len();
        self.outcomes.push(Outcome::Open);
        let first = self.end();
        for &channel in channels {
            self.by_channel[channel].push(self.end());
            self.notes.push(Note {
                channel,
                transaction,
            });
        }
        (transaction, (first..self.end()).collect())
    }

    /// A delivery may have proved it committed meanwhile.
    pub fn ended(&mut self, transaction: usize, outcome: Outcome) {
        let known = &mut self.outcomes[transaction];
        match *known {
            Outcome::Open => *known = outcome,
            known => assert!(outcome != Outcome::RolledBack, "rolled back, and {known:?}"),
        }
    }

    /// The number of the next note.
    pub fn end(&self) -> u64 {
        self.notes.len() as u64
    }

    pub fn is_committed(&self, note: u64) -> bool {
        let transaction = self.notes[note as usize].transaction;
        self.outcomes[transaction] == Outcome::Committed
    }

    /// The notes of a channel, ascending.
    pub fn of(&self, channel: usize) -> &[u64] {
        &self.by_channel[channel]
    }

    /// The index of the channel's first note that is not before `note`.
    pub fn index(&self, channel: usize, note: u64) -> usize {
        self.by_channel[channel].partition_point(|n| *n < note)
    }

    /// The gateway has every note before this one that was committed and that
    /// it listened for.
    pub fn seen_by(&self, gateway: usize) -> u64 {
        self.seen[gateway].end
    }

    /// The note of an event: written as it came, not rolled back, and with the same
    /// id for every reader. A transport without channels names none.
    pub fn delivered(
        &mut self,
        gateway: usize,
        channel: &str,
        text: &str,
        id: Option<&Id>,
    ) -> Result<(u64, usize), String> {
        let number = text
            .split(' ')
            .next()
            .and_then(|number| number.parse().ok());
        let number: u64 = number.ok_or_else(|| format!("{text:?} was never written"))?;
        let note = self.notes.get(number as usize).copied();
        let note = note.ok_or_else(|| format!("{number} was never written"))?;
        if text != payload(number) || !(channel.is_empty() || channel == name(note.channel)) {
            return Err(format!("{number} came as {channel:?} {text:?}"));
        }
        let outcome = &mut self.outcomes[note.transaction];
        if *outcome == Outcome::RolledBack {
            return Err(format!("{number} was rolled back"));
        }
        *outcome = Outcome::Committed;
        self.seen[gateway].see(number, id)?;
        Ok((number, note.channel))
    }
}

impl Seen {
    fn see(&mut self, note: u64, id: Option<&Id>) -> Result<(), String> {
        self.end = self.end.max(note + 1);
        let Some(id) = id else {
            return Ok(());
        };
        let epoch = self.epoch.get_or_insert_with(|| id.epoch.clone());
        let length = self.sequences.len().max(self.end as usize);
        self.sequences.resize(length, 0);
        let sequence = &mut self.sequences[note as usize];
        if *epoch != id.epoch || (*sequence != 0 && *sequence != id.sequence) {
            return Err(format!("{note} has the ids {sequence} and {id:?}"));
        }
        *sequence = id.sequence;
        Ok(())
    }
}
