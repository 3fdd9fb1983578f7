//! Authentication and authorization, independent of transports: from a token or a
//! ticket to a [`Grant`].

mod claims;
mod crypto;
mod early;
mod fetch;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod grant;
mod jwk;
mod jwks;
mod key_file;
mod key_source;
mod keys;
mod mint;
mod pattern;
mod policy_version;
mod recent;
mod seen;
mod subject;
#[cfg(test)]
mod tests;
mod tickets;
mod token;
mod token_type;
mod toll;
mod unique_keys;

use std::{
    future::pending,
    sync::{Arc, Mutex, PoisonError, RwLock, RwLockWriteGuard},
    time::{Duration, SystemTime},
};

pub use claims::{ClaimPath, ClaimPathError};
pub use fetch::{Url, UrlError};
pub use grant::Grant;
pub use key_file::FileError;
pub(crate) use key_file::MAX_KEY_FILE;
pub use key_source::KeySource;
pub use keys::{KeyError, Keys};
pub use mint::{MintError, SigningKey, Wish, mint};
pub use pattern::{Pattern, PatternError, Patterns};
pub use subject::Subject;
pub use tickets::{Ticket, TooManyTickets};
pub use token::Rules;
pub use token_type::{TokenType, TokenTypeError};
use tokio::{select, sync::watch};

use crate::turns::Turns;
use policy_version::PolicyVersion;
use seen::Seen;
use tickets::Tickets;
pub use toll::Attempts;

use futures_util::future::join_all;

/// Settings of the [`Authenticator`].
#[derive(Debug)]
pub struct Config {
    /// Keys that verify tokens; without them there are no tokens.
    pub keys: Option<KeySource>,
    /// Required claims of tokens.
    pub rules: Rules,
    /// Whether clients without a token are admitted.
    pub anonymous: bool,
    /// Whether clients without a token may also publish.
    pub allow_publish: bool,
    /// All channels that clients may use.
    pub channels: Patterns,
    /// Maximum length of a token in bytes; it has to fit into the head of a request.
    /// Identity providers issue tokens of 1 to 2 KiB, and of more than 8 with many
    /// groups.
    pub max_token: usize,
    /// Permits for verifying signatures; not changed by a reload.
    pub turns: Turns,
}

impl Config {
    /// Every client may read every channel, and publish if `allow_publish` is set.
    pub fn open(allow_publish: bool) -> Self {
        Self {
            keys: None,
            rules: Rules::default(),
            anonymous: true,
            allow_publish,
            channels: Patterns::all(),
            max_token: 32 << 10,
            turns: Turns::default(),
        }
    }
}

/// Reason for refusing a client. Every fault of a token gives the same answer; the log
/// names the fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// The client has no token and needs one.
    #[error("a token is required")]
    Required,
    /// The token is invalid.
    #[error("the token is not valid, or no longer")]
    Token,
    /// The ticket was never issued, was used already, or has expired.
    #[error("the ticket is not valid: it is good once, for 30 seconds")]
    Ticket,
    /// No keys could be fetched yet.
    #[error("tokens cannot be checked now")]
    Unavailable,
    /// Too many forged tokens came from the client's address; the token was not
    /// verified.
    #[error("too many tokens of this address had a wrong signature")]
    TooMany,
    /// The token was not verified in time.
    #[error("too many tokens wait for verification")]
    Busy,
}

/// Checks tokens and tickets, and issues tickets. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Authenticator {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    policy: RwLock<Arc<Policy>>,
    changes: PolicyVersion,
    tickets: Tickets,
    seen: Seen,
    turns: Turns,
}

/// The settings that a reload replaces.
#[derive(Debug)]
struct Policy {
    keys: Option<KeySource>,
    rules: Arc<Rules>,
    channels: Patterns,
    max_token: usize,
    /// The grant shared by all clients without a token.
    open: Option<Mutex<Arc<Grant>>>,
}

impl Policy {
    fn new(config: Config, changes: &PolicyVersion) -> Self {
        // If tokens are configured, a client without one is not the operator.
        let grant = Grant::open(config.channels.clone(), config.allow_publish);
        let grant = grant.with_metrics(config.keys.is_none());
        for rotating in config.keys.iter().flat_map(KeySource::rotating) {
            rotating.follow(changes);
        }
        Self {
            keys: config.keys,
            rules: Arc::new(config.rules),
            channels: config.channels,
            max_token: config.max_token,
            open: config.anonymous.then(|| Mutex::new(Arc::new(grant))),
        }
    }

    fn without_token(&self, version: u64) -> Result<Arc<Grant>, AuthError> {
        let open = self.open.as_ref().ok_or(AuthError::Required)?;
        let mut open = open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.version() != version {
            *open = Arc::new(Grant::clone(&open).of_version(version));
        }
        Ok(Arc::clone(&open))
    }
}

impl Authenticator {
    /// An authenticator with these rules.
    pub fn new(config: Config) -> Self {
        let changes = PolicyVersion::default();
        let shared = Shared {
            turns: config.turns.clone(),
            policy: RwLock::new(Arc::new(Policy::new(config, &changes))),
            changes,
            tickets: Tickets::default(),
            seen: Seen::default(),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Replaces the settings. Earlier grants have to be [checked
    /// again](Self::reauthorize).
    pub fn reload(&self, config: Config) {
        let policy = Policy::new(config, &self.shared.changes);
        let mut slot = self.lock_policy();
        for new in policy.keys.iter().flat_map(KeySource::rotating) {
            for old in slot.keys.iter().flat_map(KeySource::rotating) {
                new.go_on_from(old);
            }
        }
        *slot = Arc::new(policy);
        drop(slot);
        self.shared.changes.tell();
    }

    /// Version of the policy; rises whenever an earlier grant may have changed.
    pub fn version(&self) -> u64 {
        self.shared.changes.version()
    }

    /// Notified of each new version.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.shared.changes.follow()
    }

    /// The current permissions for an earlier grant: the same, within the current
    /// channels of the gateway.
    ///
    /// # Errors
    /// The key of its token was removed, the rules for tokens have changed, or the
    /// client has no token and now needs one.
    pub fn reauthorize(&self, grant: &Grant) -> Result<Arc<Grant>, AuthError> {
        let (version, policy) = self.policy();
        let (Some(proof), Some(source)) = (grant.proof(), &policy.keys) else {
            return policy.without_token(version);
        };
        let mut keys = source.current().into_iter();
        // Nothing is known about keys that were not fetched yet; their arrival is a new
        // version.
        let may_come = !proof.is_fixed && source.are_missing();
        let is_known = may_come || keys.any(|keys| keys.contains(proof.key));
        if !is_known || proof.rules != policy.rules {
            return Err(AuthError::Token);
        }
        let grant = grant.clone().within(policy.channels.clone());
        Ok(Arc::new(grant.of_version(version)))
    }

    /// The permissions for an earlier grant at the moment of use: time may have passed
    /// since, for a ticket or the body of a request. Returns the grant itself while its
    /// token is valid and the settings are the same.
    ///
    /// # Errors
    /// Those of [`Self::reauthorize`], and a token that has expired since.
    pub fn at_use(&self, grant: &Arc<Grant>) -> Result<Arc<Grant>, AuthError> {
        let grant = match grant.version() == self.version() {
            true => Arc::clone(grant),
            // If tokens were switched off since, this is the grant of an open gateway.
            false => self.reauthorize(grant)?,
        };
        match grant.is_over(SystemTime::now()) {
            true => Err(AuthError::Token),
            false => Ok(grant),
        }
    }

    /// Whether tokens are configured.
    pub fn has_tokens(&self) -> bool {
        self.policy().1.keys.is_some()
    }

    /// The grant of a client without a token.
    ///
    /// # Errors
    /// The client needs a token.
    pub fn without_token(&self) -> Result<Arc<Grant>, AuthError> {
        let (version, policy) = self.policy();
        policy.without_token(version)
    }

    /// Issues a ticket for this grant, and returns its lifetime.
    ///
    /// # Errors
    /// There are too many tickets.
    pub fn ticket(&self, grant: &Arc<Grant>) -> Result<(Ticket, Duration), TooManyTickets> {
        let ticket = self.shared.tickets.issue(Arc::clone(grant))?;
        Ok((ticket, tickets::LIFETIME))
    }

    /// Redeems a ticket, once.
    ///
    /// # Errors
    /// The ticket is invalid, or the token for which it was issued is no longer valid.
    pub fn with_ticket(&self, ticket: &str) -> Result<Arc<Grant>, AuthError> {
        let grant = self
            .shared
            .tickets
            .redeem(ticket)
            .ok_or(AuthError::Ticket)?;
        self.at_use(&grant).map_err(|_| AuthError::Ticket)
    }

    /// Reloads rotating keys periodically. Never returns.
    pub async fn keep_fresh(self) {
        let mut changes = self.changes();
        loop {
            let (_, policy) = self.policy();
            let looking = async {
                let rotating = policy.keys.iter().flat_map(KeySource::rotating);
                join_all(rotating.map(|rotating| rotating.keep_fresh())).await;
                // Reached only without rotating keys.
                pending().await
            };
            let is_another = async {
                loop {
                    if changes.changed().await.is_err() {
                        pending::<()>().await;
                    }
                    if !Arc::ptr_eq(&policy, &self.policy().1) {
                        return;
                    }
                }
            };
            select! {
                () = looking => {}
                () = is_another => {}
            }
        }
    }

    /// Reads the version first, so that a later change has another version.
    fn policy(&self) -> (u64, Arc<Policy>) {
        let version = self.version();
        // The value is replaced as a whole; a panic cannot leave it half-written.
        let policy = self.shared.policy.read();
        let policy = policy.unwrap_or_else(PoisonError::into_inner);
        (version, Arc::clone(&policy))
    }

    fn lock_policy(&self) -> RwLockWriteGuard<'_, Arc<Policy>> {
        let policy = self.shared.policy.write();
        policy.unwrap_or_else(PoisonError::into_inner)
    }
}
