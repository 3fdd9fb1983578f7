//! What a client may do. Knows no transport: a token or a ticket in, [`Grant`]
//! out.

mod claims;
mod crypto;
mod early;
mod fetch;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod grant;
mod jwk;
mod jwks;
mod key_source;
mod keys;
mod mint;
mod pattern;
mod policy_version;
mod recent;
mod seen;
mod small_file;
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
pub use key_source::KeySource;
pub use keys::{KeyError, Keys};
pub use mint::{MintError, SigningKey, Wish, mint};
pub use pattern::{Pattern, PatternError, Patterns};
pub use small_file::FileError;
pub(crate) use small_file::{open as open_small_file, read as read_small_file};
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

/// Who is let in, and to what.
#[derive(Debug)]
pub struct Config {
    /// What tokens are checked with; without it there are none.
    pub keys: Option<KeySource>,
    /// What they must say.
    pub rules: Rules,
    /// Whether clients without a token are let in.
    pub anonymous: bool,
    /// Whether those may also publish.
    pub allow_publish: bool,
    /// All channels that anybody may have.
    pub channels: Patterns,
    /// Of a token, in bytes: what has room in the head of a request. What identity
    /// providers make is 1 to 2 KiB, and with many groups more than 8.
    pub max_token: usize,
    /// Permits for verifying signatures; not changed by a reload.
    pub turns: Turns,
}

impl Config {
    /// Everybody may read every channel, and publish where that is allowed.
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

/// Why a client is not let in. Whatever is wrong with a token, all are told
/// the same: what it was is in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// It has none.
    #[error("a token is required")]
    Required,
    /// It has one.
    #[error("the token is not valid, or no longer")]
    Token,
    /// It has one that nobody gave out, that was used, or that is too old.
    #[error("the ticket is not valid: it is good once, for 30 seconds")]
    Ticket,
    /// No key was ever had.
    #[error("tokens cannot be checked now")]
    Unavailable,
    /// Its address has sent too many forged ones; it was not verified.
    #[error("too many tokens of this address had a wrong signature")]
    TooMany,
    /// It was not verified in time.
    #[error("too many tokens wait for verification")]
    Busy,
}

/// See the module. Cheap to clone.
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

/// What can be set anew.
#[derive(Debug)]
struct Policy {
    keys: Option<KeySource>,
    rules: Arc<Rules>,
    channels: Patterns,
    max_token: usize,
    /// One for all who have no token.
    open: Option<Mutex<Arc<Grant>>>,
}

impl Policy {
    fn new(config: Config, changes: &PolicyVersion) -> Self {
        // Where tokens are asked for, those who have none are not the operator.
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
    /// As it is set.
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

    /// Sets it anew. Who was let in before is looked at [again](Self::again).
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

    /// Rises whenever a grant that was given before may be another now.
    pub fn version(&self) -> u64 {
        self.shared.changes.version()
    }

    /// Told of each rise.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.shared.changes.follow()
    }

    /// What a client with an earlier grant may do now: the same, within the
    /// channels that there are now.
    ///
    /// # Errors
    /// The key of its token was taken away, or the rules for tokens are
    /// others, or it has no token and now needs one.
    pub fn reauthorize(&self, grant: &Grant) -> Result<Arc<Grant>, AuthError> {
        let (version, policy) = self.policy();
        let (Some(proof), Some(source)) = (grant.proof(), &policy.keys) else {
            return policy.without_token(version);
        };
        let mut keys = source.current().into_iter();
        // Of keys that are still to be had nothing can be said; when they come, it
        // is another version.
        let may_come = !proof.is_fixed && source.are_missing();
        let is_known = may_come || keys.any(|keys| keys.contains(proof.key));
        if !is_known || proof.rules != policy.rules {
            return Err(AuthError::Token);
        }
        let grant = grant.clone().within(policy.channels.clone());
        Ok(Arc::new(grant.of_version(version)))
    }

    /// What a client with an earlier grant may do at the moment of use: time may have
    /// passed since it was given, for a ticket or the body of a request. The grant itself,
    /// while its token holds and the settings are the same.
    ///
    /// # Errors
    /// As [`again`](Self::again), and where its token has expired since.
    pub fn at_use(&self, grant: &Arc<Grant>) -> Result<Arc<Grant>, AuthError> {
        let grant = match grant.version() == self.version() {
            true => Arc::clone(grant),
            // Where tokens were given up since, that of an open gateway.
            false => self.reauthorize(grant)?,
        };
        match grant.is_over(SystemTime::now()) {
            true => Err(AuthError::Token),
            false => Ok(grant),
        }
    }

    /// Whether there are tokens here at all.
    pub fn has_tokens(&self) -> bool {
        self.policy().1.keys.is_some()
    }

    /// What a client without a token may do.
    ///
    /// # Errors
    /// Nothing: it needs one.
    pub fn without_token(&self) -> Result<Arc<Grant>, AuthError> {
        let (version, policy) = self.policy();
        policy.without_token(version)
    }

    /// A ticket for the same, and how long it is good.
    ///
    /// # Errors
    /// There are too many.
    pub fn ticket(&self, grant: &Arc<Grant>) -> Result<(Ticket, Duration), TooManyTickets> {
        let ticket = self.shared.tickets.issue(Arc::clone(grant))?;
        Ok((ticket, tickets::LIFETIME))
    }

    /// What a client with this ticket may do, this once.
    ///
    /// # Errors
    /// The ticket is not good, or the token with which it was asked for no longer.
    pub fn with_ticket(&self, ticket: &str) -> Result<Arc<Grant>, AuthError> {
        let grant = self
            .shared
            .tickets
            .redeem(ticket)
            .ok_or(AuthError::Ticket)?;
        self.at_use(&grant).map_err(|_| AuthError::Ticket)
    }

    /// Looks for new keys from time to time, where they can change. Never
    /// ends.
    pub async fn keep_fresh(self) {
        let mut changes = self.changes();
        loop {
            let (_, policy) = self.policy();
            let looking = async {
                let rotating = policy.keys.iter().flat_map(KeySource::rotating);
                join_all(rotating.map(|rotating| rotating.keep_fresh())).await;
                // There is none.
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

    /// The version first: what is set after it is another one.
    fn policy(&self) -> (u64, Arc<Policy>) {
        let version = self.version();
        // A whole value is put in; a panic cannot leave half of one.
        let policy = self.shared.policy.read();
        let policy = policy.unwrap_or_else(PoisonError::into_inner);
        (version, Arc::clone(&policy))
    }

    fn lock_policy(&self) -> RwLockWriteGuard<'_, Arc<Policy>> {
        let policy = self.shared.policy.write();
        policy.unwrap_or_else(PoisonError::into_inner)
    }
}
