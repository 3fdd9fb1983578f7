//! The judge reports each kind of violation, and accepts a correct stream.

use super::{
    judge::Judge,
    ledger::{Ledger, Outcome, name, payload},
    position::Violation,
};
use crate::support::Said;

/// A ledger, and a stream that is judged by it.
struct Case {
    ledger: Ledger,
    judge: Judge,
}

fn event(note: u64, channel: usize) -> Said {
    Said::Event {
        id: format!("e-{}", note + 10),
        channel: name(channel),
        payload: payload(note),
    }
}

fn ready(channels: &[usize], sequence: u64) -> Said {
    Said::Ready {
        channels: channels.iter().map(|channel| name(*channel)).collect(),
        cursor: format!("e-{sequence}"),
    }
}

fn gap(reason: &str, sequence: u64) -> Said {
    Said::Gap {
        id: format!("e-{sequence}"),
        reason: reason.into(),
    }
}

impl Case {
    /// Ready on the channels 0 and 1, before any note.
    fn new() -> Self {
        let (ledger, mut judge) = (Ledger::default(), Judge::new(0, false));
        judge.subscribe(&[0, 1], None, &ledger);
        let mut case = Self { ledger, judge };
        case.receives(&[ready(&[0, 1], 9)]);
        case
    }

    /// One transaction; on a channel each.
    fn write(mut self, channels: &[usize], outcome: Outcome) -> Self {
        let (transaction, _) = self.ledger.begin(channels);
        self.ledger.ended(transaction, outcome);
        self
    }

    fn receives(&mut self, said: &[Said]) {
        for said in said {
            let judged = self.judge.receive(said, &mut self.ledger);
            assert_eq!(judged, Ok(()), "{said:?}");
        }
    }

    /// The last message is a violation, described in these words.
    fn finds(&mut self, said: &[Said], words: &str) {
        let (last, before) = said.split_last().unwrap();
        self.receives(before);
        match self.judge.receive(last, &mut self.ledger) {
            Err(Violation::Other(text)) => assert!(text.contains(words), "{text}"),
            Err(Violation::Missing(note)) => assert_eq!(words, format!("missing {note}")),
            Ok(()) => panic!("{words}: not found"),
        }
    }

    /// On a new connection, with the newest cursor.
    fn comes_back(&mut self) {
        let cursor = self.judge.cursor.take();
        self.judge = Judge::new(0, false);
        self.judge.subscribe(&[0, 1], cursor, &self.ledger);
    }
}

fn written() -> Case {
    Case::new().write(&[0, 1, 0, 1], Outcome::Committed)
}

#[test]
fn each_once_and_in_order_is_right() {
    let mut case = written();
    case.receives(&[event(0, 0), event(1, 1), event(2, 0), event(3, 1)]);
    assert_eq!(case.judge.waits_for(&case.ledger), None);
}

#[test]
fn a_loss_is_found_by_the_next_event_of_any_channel() {
    written().finds(&[event(0, 0), event(2, 0)], "missing 1");
}

#[test]
fn a_loss_at_the_end_is_found() {
    let mut case = written();
    case.receives(&[event(0, 0), event(1, 1), event(2, 0)]);
    let waits_for = case.judge.waits_for(&case.ledger);
    assert_eq!(waits_for, Some(Violation::Missing(3)));
}

#[test]
fn a_gap_excuses_what_was_before_it_and_nothing_after() {
    let mut case = written();
    case.receives(&[event(0, 0), gap("slow_reader", 12)]);
    let mut case = case.write(&[0, 0, 1], Outcome::Committed);
    case.finds(&[event(4, 0), event(6, 1)], "missing 5");
}

#[test]
fn twice_or_out_of_order_is_found() {
    written().finds(&[event(0, 0), event(0, 0)], "after");
    let case = Case::new().write(&[0], Outcome::Open);
    let mut case = case.write(&[1], Outcome::Open);
    case.finds(&[event(1, 1), event(0, 0)], "after");
}

#[test]
fn what_was_rolled_back_or_never_written_is_found() {
    let mut case = Case::new().write(&[0], Outcome::RolledBack);
    case.finds(&[event(0, 0)], "rolled back");
    Case::new().finds(&[event(0, 0)], "never written");
}

#[test]
fn a_channel_that_nobody_asked_for_or_that_was_left_is_found() {
    let mut case = Case::new().write(&[2, 1], Outcome::Committed);
    case.finds(&[event(0, 2)], "not asked");
    let answer = serde_json::json!({"type": "unsubscribed", "channels": [name(1)]});
    case.judge.unsubscribe(&[1]);
    case.finds(&[Said::Answer(answer), event(1, 1)], "not asked");
}

#[test]
fn an_event_while_interrupted_is_found() {
    written().finds(&[Said::Interrupted, event(0, 0)], "interrupted");
}

#[test]
fn a_cursor_that_is_answered_by_its_events_is_right() {
    let mut case = written();
    case.receives(&[event(0, 0), event(1, 1)]);
    case.comes_back();
    case.receives(&[event(2, 0), event(3, 1), ready(&[0, 1], 13)]);
    assert_eq!(case.judge.waits_for(&case.ledger), None);
}

#[test]
fn ready_before_what_a_cursor_asked_for_is_found() {
    let mut case = written();
    case.receives(&[event(0, 0)]);
    let seen = case.judge.cursor.clone();
    case.receives(&[event(1, 1), event(2, 0), event(3, 1)]);
    case.judge.cursor = seen;
    case.comes_back();
    case.finds(&[event(1, 1), ready(&[0, 1], 13)], "`ready` before 2");
}

#[test]
fn what_was_before_the_cursor_is_found() {
    let mut case = written();
    case.receives(&[event(0, 0), event(1, 1)]);
    case.comes_back();
    case.finds(&[event(1, 1)], "before the cursor");
}

#[test]
fn two_gaps_for_one_cursor_are_found() {
    let mut case = written();
    case.receives(&[event(0, 0)]);
    case.comes_back();
    let too_old = || gap("cursor_too_old", 13);
    case.finds(&[too_old(), too_old()], "or again");
}

#[test]
fn another_gateways_cursor_has_to_cost_a_gap() {
    let mut case = written();
    case.receives(&[event(0, 0)]);
    case.judge.cursor.as_mut().unwrap().gateway = 1;
    case.comes_back();
    case.finds(&[ready(&[0, 1], 13)], "strange");
}

#[test]
fn an_event_before_a_ready_without_a_cursor_is_found() {
    let mut case = written();
    case.judge.cursor = None;
    case.comes_back();
    case.finds(&[event(0, 0)], "before `ready`");
}

#[test]
fn what_others_had_before_it_asked_is_found() {
    let mut case = written();
    case.receives(&[event(0, 0), event(1, 1)]);
    case.judge.cursor = None;
    case.comes_back();
    case.finds(&[ready(&[0, 1], 9), event(1, 1)], "after");
}

#[test]
fn one_id_for_two_notes_or_two_for_one_is_found() {
    let mut case = written();
    let twice = |note, id: &str| Said::Event {
        id: id.into(),
        channel: name(note as usize % 2),
        payload: payload(note),
    };
    case.finds(&[twice(0, "e-10"), twice(1, "e-10")], "after 10");
    let mut other = Case {
        judge: Judge::new(0, false),
        ..case
    };
    other.judge.subscribe(&[0, 1], None, &Ledger::default());
    other.finds(&[ready(&[0, 1], 9), twice(0, "e-11")], "has the ids");
}
