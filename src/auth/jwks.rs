//! Rotating keys: a JWKS document in a file or at a URL, loaded periodically and
//! whenever a token names an unknown key.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock, PoisonError, RwLock},
    time::Duration,
};

use tokio::{
    sync::Mutex,
    time::{Instant, sleep},
};
use tracing::{debug, info, warn};

use super::{
    fetch::Url,
    key_file::{self, FileError},
    keys::Keys,
    policy_version::PolicyVersion,
};

/// Interval between successful loads. A key that was removed from the document is
/// still trusted until the next one.
const AGAIN: Duration = Duration::from_secs(600);

/// Minimum interval between two loads, however many tokens name unknown keys: clients
/// without a valid token can trigger loads no more often than this. Also the interval
/// after a failed load.
const MIN_GAP: Duration = Duration::from_secs(10);

/// Location of the document.
#[derive(Debug, Clone)]
pub(super) enum Place {
    File(PathBuf),
    Url(Url),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Url(url) => url.fmt(f),
        }
    }
}

/// A JWKS document that is loaded again from time to time.
#[derive(Debug)]
pub(super) struct Rotating {
    place: Place,
    keys: RwLock<Arc<Keys>>,
    /// Time of the last load, and whether it succeeded. The lock is held during a load:
    /// one load serves all waiting clients.
    looked: Arc<Mutex<Option<(Instant, bool)>>>,
    /// Notified when the keys change.
    changes: OnceLock<PolicyVersion>,
}

/// Reads the keys of a file.
pub(super) fn read(path: &Path) -> Result<Keys, FileError> {
    Ok(Keys::of_jwks(&key_file::read(path)?)?)
}

/// Logs the unused entries, once for each change of them.
fn tell_left_out(place: &Place, keys: &Keys, before: &Keys) {
    if keys.left_out() == before.left_out() {
        return;
    }
    for key in keys.left_out() {
        match key.is_fault() {
            true => warn!(%place, "a key for tokens is left out: {key}"),
            false => debug!(%place, "a key for tokens is left out: {key}"),
        }
    }
}

impl Rotating {
    /// `first`: the keys known so far, which may be none.
    pub(super) fn new(place: Place, first: Keys) -> Self {
        tell_left_out(&place, &first, &Keys::default());
        Self {
            place,
            keys: RwLock::new(Arc::new(first)),
            looked: Arc::default(),
            changes: OnceLock::new(),
        }
    }

    /// Notifies `changes` when the keys change.
    pub(super) fn follow(&self, changes: &PolicyVersion) {
        // A source that is already followed is followed by the same authenticator.
        let _ = self.changes.set(changes.clone());
    }

    /// Takes over the keys of `other` if both have the same URL, so that known keys are
    /// not lost while the provider is unavailable.
    pub(super) fn go_on_from(&self, other: &Self) {
        if let (Place::Url(url), Place::Url(before)) = (&self.place, &other.place)
            && url.to_string() == before.to_string()
        {
            self.put(other.current());
        }
    }

    fn put(&self, keys: Arc<Keys>) -> Arc<Keys> {
        let mut slot = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut slot, keys)
    }

    pub(super) fn current(&self) -> Arc<Keys> {
        // The value is replaced as a whole; a panic cannot leave it half-written.
        Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The keys, after another load if none of them is named `id`. The load continues
    /// when its client disconnects: otherwise clients that connect and leave could
    /// start loads at any rate.
    pub(super) async fn with(self: &Arc<Self>, id: Option<&str>) -> Arc<Keys> {
        let keys = self.current();
        if keys.named(id).next().is_some() {
            return keys;
        }
        let mut looked = Arc::clone(&self.looked).lock_owned().await;
        let keys = self.current();
        let is_fresh = looked.is_some_and(|(at, _)| at.elapsed() < MIN_GAP);
        if keys.named(id).next().is_some() || is_fresh {
            return keys;
        }
        let this = Arc::clone(self);
        let looking = tokio::spawn(async move { *looked = Some(this.look().await) });
        let _ = looking.await;
        self.current()
    }

    /// Loads the document periodically. Never returns.
    pub(super) async fn keep_fresh(&self) {
        loop {
            let mut looked = self.looked.lock().await;
            let due = looked.map(|(at, well)| at + if well { AGAIN } else { MIN_GAP });
            if due.is_none_or(|due| due <= Instant::now()) {
                *looked = Some(self.look().await);
            }
            drop(looked);
            sleep(MIN_GAP).await;
        }
    }

    /// Loads the document. If that fails, the known keys stay in use.
    async fn look(&self) -> (Instant, bool) {
        let found = match &self.place {
            Place::File(path) => read(path).map_err(|error| error.to_string()),
            Place::Url(url) => match url.get().await {
                Ok(text) => Keys::of_jwks(&text).map_err(|error| error.to_string()),
                Err(error) => Err(error.to_string()),
            },
        };
        let well = found.is_ok();
        match found {
            Ok(keys) => {
                let keys = Arc::new(keys);
                let before = self.put(Arc::clone(&keys));
                tell_left_out(&self.place, &keys, &before);
                if before.is_empty() {
                    info!(place = %self.place, "the keys for tokens are there");
                }
                if let Some(changes) = self.changes.get().filter(|_| !before.are(&keys)) {
                    changes.tell();
                }
            }
            Err(error) => warn!(place = %self.place, error, "no new keys for tokens"),
        }
        (Instant::now(), well)
    }
}
