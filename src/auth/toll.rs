//! Limits on the verification of signatures of public keys, each of which takes up
//! to some milliseconds: they take [turns](Turns), and an address with many failed
//! signatures gets none.

use std::time::Duration;

use tokio::time::timeout;

use super::token::TokenError;
use crate::turns::{Turn, Turns};

/// Timeout for a permit, the same as for fetching keys. A token that waits longer has
/// thousands before it and is refused; its client comes back later.
const PATIENCE: Duration = Duration::from_secs(5);

/// The counter of failed signatures of one client address.
pub trait Attempts: Sync {
    /// Whether another signature may be verified.
    fn may_try(&self) -> bool;

    /// One signature failed.
    fn failed(&self);
}

/// No limit.
impl Attempts for () {
    fn may_try(&self) -> bool {
        true
    }

    fn failed(&self) {}
}

/// The limits as they apply to one token.
pub(super) struct Toll<'a> {
    attempts: &'a dyn Attempts,
    turns: &'a Turns,
    /// It was valid recently: then failures of other tokens at the same address do not
    /// count against it.
    is_known: bool,
    has_failed: bool,
}

impl<'a> Toll<'a> {
    pub(super) fn new(attempts: &'a dyn Attempts, turns: &'a Turns, is_known: bool) -> Self {
        Self {
            attempts,
            turns,
            is_known,
            has_failed: false,
        }
    }

    /// The permit has to be held during the verification of one signature.
    pub(super) async fn turn(&self) -> Result<Turn, TokenError> {
        self.may_try()?;
        let turn = timeout(PATIENCE, self.turns.for_token(self.is_known)).await;
        let turn = turn.map_err(|_| TokenError::Busy)?;
        // Tokens of the same address before it in the queue may have failed.
        self.may_try()?;
        Ok(turn)
    }

    fn may_try(&self) -> Result<(), TokenError> {
        match self.is_known || self.attempts.may_try() {
            true => Ok(()),
            false => Err(TokenError::TooMany),
        }
    }

    /// The token is refused after this number of failed signatures. A valid token
    /// counts nothing, though the first of two keys may have failed.
    pub(super) fn failed(&mut self, signatures: usize) {
        for _ in 0..signatures {
            self.attempts.failed();
            self.has_failed = true;
        }
    }

    /// Whether a signature of it was verified and failed.
    pub(super) fn has_failed(&self) -> bool {
        self.has_failed
    }
}
