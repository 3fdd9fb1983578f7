//! Detects whether the auxiliary session is on another server than the listening one.
//! Pure.
//!
//! PostgreSQL's queue has the order of the commits. A heartbeat that is sent when a
//! proof has committed comes after it in the queue. So the first to arrive decides: the
//! proof, or a heartbeat from behind it; in that case the proof is in the queue of
//! another server. No time limit is involved, so a slow link or a burst changes
//! nothing.

/// Order of the proofs and the heartbeats behind them.
#[derive(Debug, Default)]
pub(super) struct Fence {
    /// Number of the newest proof that was received.
    heard: u64,
    /// A proof that has committed but was not received, and the heartbeat behind it.
    awaited: Option<(u64, u64)>,
}

impl Fence {
    /// Records that a proof has committed. Returns whether `beat`, the next heartbeat,
    /// has to be sent now.
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

    /// Whether a heartbeat that arrives now has overtaken a proof, which is impossible
    /// on the same server.
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
