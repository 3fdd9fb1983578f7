//! Verification of a token, with the caches of recent results.

use std::{sync::Arc, time::Duration};

use tracing::debug;

use super::{
    AuthError, Authenticator, Grant, KeySource, Policy,
    grant::Proof,
    recent::Recent,
    token::{Checked, TokenError, Unchecked},
    toll::{Attempts, Toll},
};

/// Valid tokens that are remembered, at 32 bytes each. A token that was dropped at
/// the limit counts as a new one.
const MAX_TAKEN: usize = 1 << 14;

/// The lifetime of most tokens.
const TAKEN: Duration = Duration::from_secs(3600);

/// Forged tokens that are remembered; one address adds 20 a second. A token that was
/// dropped at the limit is verified again.
const MAX_REFUSED: usize = 1 << 12;

/// Long enough for a client in a reconnect loop, which sends the same token.
const REFUSED: Duration = Duration::from_secs(10);

/// A token stays known over a change of keys: it is verified with the new ones.
const ANY_VERSION: u64 = 0;

/// Recent tokens with signatures of public keys; those of secrets are cheap.
#[derive(Debug)]
pub(super) struct Seen {
    /// Valid ones. They are exempt from the limit of failures, not from verification.
    taken: Recent,
    /// Forged ones, by the version of the keys.
    refused: Recent,
}

impl Default for Seen {
    fn default() -> Self {
        Self {
            taken: Recent::new(MAX_TAKEN, TAKEN),
            refused: Recent::new(MAX_REFUSED, REFUSED),
        }
    }
}

impl Authenticator {
    /// The grant of a client with this token. A gateway without tokens ignores it.
    /// Takes up to 5 s if keys have to be fetched, and up to 5 s more if many tokens
    /// wait for verification. `attempts` counts failed signatures.
    ///
    /// # Errors
    /// The token is invalid or cannot be checked.
    pub async fn with_token(
        &self,
        token: &str,
        attempts: &impl Attempts,
    ) -> Result<Arc<Grant>, AuthError> {
        let (version, policy) = self.policy();
        let Some(source) = &policy.keys else {
            return policy.without_token(version);
        };
        let checked = self.check(token, (version, &policy, source), attempts);
        let checked = checked.await.map_err(|error| {
            debug!(%error, claim = %policy.rules.claim, "a token is refused");
            match error {
                TokenError::Missing => AuthError::Unavailable,
                TokenError::TooMany => AuthError::TooMany,
                TokenError::Busy => AuthError::Busy,
                _ => AuthError::Token,
            }
        })?;
        debug!("a token is taken");
        let (allowed, channels) = (policy.channels.clone(), checked.channels);
        let metrics = channels.metrics;
        let (subscribe, publish) = (channels.subscribe, channels.publish);
        let grant = Grant::of_token(allowed, subscribe, publish, checked.expires);
        let proof = Proof {
            key: checked.key,
            is_fixed: source.is_fixed(checked.key),
            rules: Arc::clone(&policy.rules),
        };
        let grant = grant.with_metrics(metrics).proven_by(proof);
        if grant.is_empty() {
            let claim = &policy.rules.claim;
            debug!(%claim, "the token grants nothing: this claim names no channels");
        }
        Ok(Arc::new(
            grant.of_subject(checked.subject).of_version(version),
        ))
    }

    async fn check(
        &self,
        text: &str,
        (version, policy, source): (u64, &Policy, &KeySource),
        attempts: &impl Attempts,
    ) -> Result<Checked, TokenError> {
        let token = Unchecked::parse(text, policy.max_token)?;
        let turns = &self.shared.turns;
        if token.is_of_secret() {
            return source
                .check(&token, &policy.rules, &mut Toll::new(&(), turns, true))
                .await;
        }
        let Seen { taken, refused } = &self.shared.seen;
        if refused.holds(text, version) {
            return Err(TokenError::Signature);
        }
        let is_known = taken.holds(text, ANY_VERSION);
        let mut toll = Toll::new(attempts, turns, is_known);
        let checked = source.check(&token, &policy.rules, &mut toll).await;
        match &checked {
            Ok(_) => taken.keep(text, ANY_VERSION),
            // The key may be one that could not be fetched yet.
            Err(error) if error.is_of_key() && source.may_miss(&token) => {
                return Err(TokenError::Missing);
            }
            Err(TokenError::Signature) if toll.has_failed() => refused.keep(text, version),
            Err(_) => {}
        }
        checked
    }
}
