//! Caps the number of buffered messages that are drained before other work is polled.
//! Pure.

/// Maximum of messages. Polling all work of a session costs more than one message, and
/// during a burst rarely finds any. 64 messages take less than 0.1 ms.
const LONGEST: usize = 64;

/// Number of messages drained since other work was last polled.
#[derive(Debug, Default)]
pub(super) struct DrainBudget(usize);

impl DrainBudget {
    pub(super) fn heard(&mut self) {
        self.0 += 1;
    }

    /// Whether the next message may be drained without polling; the first may not.
    pub(super) fn goes_on(&self) -> bool {
        (1..LONGEST).contains(&self.0)
    }

    /// Starts again: no message is left, or other work is polled now.
    pub(super) fn end(&mut self) {
        self.0 = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Even if messages arrive without a pause.
    #[test]
    fn a_look_has_its_turn_after_so_many() {
        let mut row = DrainBudget::default();
        let mut looks = 0;
        for _ in 0..10 * LONGEST {
            if !row.goes_on() {
                row.end();
                looks += 1;
            }
            row.heard();
        }
        assert_eq!(looks, 10);
    }
}
