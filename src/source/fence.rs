//! Whether the second session is on the server of the listening one. Pure.
//!
//! PostgreSQL's queue has the order of the commits. A beat that is sent when a
//! proof has committed stands behind it, so what is heard first decides: the
//! proof, or a beat from behind it, and then that proof is in the queue of
//! another server. No time is in it, so a slow link and a burst change nothing.

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Fence {
    /// The newest proof that was heard.
    heard: u64,
    /// A proof that has committed and was not heard, and the beat behind it.
    awaited: Option<(u64, u64)>,
}

impl Fence {
    /// A proof has committed. Whether `beat`, the next one, has to be sent now.
    pub(super) fn committed(&mut self, proof: u64, beat: u64) -> bool {
        let is_new = self.awaited.is_none_or(|(awaited, _)| awaited != proof);
        let is_awaited = is_new && proof > self.heard;
        if is_awaited {
            self.awaited = Some((proof, beat));
        }
        is_awaited
    }

    pub(super) fn proof(&mut self, proof: u64) {
        self.heard = self.heard.max(proof);
        self.awaited = self.awaited.filter(|&(awaited, _)| awaited > proof);
    }

    /// Whether a beat that is heard now has overtaken a proof, which cannot
    /// be on one server.
    pub(super) fn is_overtaken_by(&self, beat: u64) -> bool {
        self.awaited.is_some_and(|(_, behind)| beat >= behind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_that_was_heard_needs_no_beat() {
        let mut fence = Fence::default();
        fence.proof(1);
        assert!(!fence.committed(1, 7));
        assert!(!fence.is_overtaken_by(7));
    }

    #[test]
    fn a_beat_from_behind_the_proof_tells_when_it_comes_first() {
        let mut fence = Fence::default();
        assert!(fence.committed(1, 7));
        assert!(!fence.committed(1, 8), "one beat is enough");
        assert!(!fence.is_overtaken_by(6), "that one was sent before");
        assert!(fence.is_overtaken_by(7));
        assert!(fence.is_overtaken_by(8));
        fence.proof(1);
        assert!(!fence.is_overtaken_by(7));
    }

    #[test]
    fn an_older_proof_does_not_stand_for_a_newer_one() {
        let mut fence = Fence::default();
        assert!(fence.committed(2, 7));
        fence.proof(1);
        assert!(fence.is_overtaken_by(7));
    }
}
