//! How many messages are heard one after the other, before anything else is
//! looked at. Pure.

/// A look at all that a session has to do costs more than to hear a message, and
/// in a burst seldom shows anything. So many messages take less than 0.1 ms.
const LONGEST: usize = 64;

/// Messages heard since the last look.
#[derive(Debug, Default)]
pub(super) struct DrainBudget(usize);

impl DrainBudget {
    pub(super) fn heard(&mut self) {
        self.0 += 1;
    }

    /// Whether the next may be heard without a look; the first may not.
    pub(super) fn goes_on(&self) -> bool {
        (1..LONGEST).contains(&self.0)
    }

    /// There is no next one, or a look has its turn.
    pub(super) fn end(&mut self) {
        self.0 = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// However many come without a pause.
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
