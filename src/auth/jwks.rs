//! Keys that change: a JWKS document in a file or at a URL, looked at again
//! from time to time, and when a token names a key that is not known.

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
    keys::Keys,
    policy_version::PolicyVersion,
    small_file::{self, FileError},
};

/// A key that was taken out is trusted so long still.
const AGAIN: Duration = Duration::from_secs(600);

/// Between two looks, however many tokens name unknown keys: who has no token
/// can make the gateway ask that often and no more. After a look that failed
/// the next comes then, too.
const MIN_GAP: Duration = Duration::from_secs(10);

/// Where the document is.
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

/// See the module.
#[derive(Debug)]
pub(super) struct Rotating {
    place: Place,
    keys: RwLock<Arc<Keys>>,
    /// When it was last looked for, and whether that went well. Held while
    /// looking: one look is enough for all who wait.
    looked: Arc<Mutex<Option<(Instant, bool)>>>,
    /// Told when the keys are others.
    changes: OnceLock<PolicyVersion>,
}

/// The keys of the file.
pub(super) fn read(path: &Path) -> Result<Keys, FileError> {
    Ok(Keys::of_jwks(&small_file::read(path)?)?)
}

/// Once, as long as they stay the same.
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
    /// `first`: what is known of them already, which may be nothing.
    pub(super) fn new(place: Place, first: Keys) -> Self {
        tell_left_out(&place, &first, &Keys::default());
        Self {
            place,
            keys: RwLock::new(Arc::new(first)),
            looked: Arc::default(),
            changes: OnceLock::new(),
        }
    }

    /// Whoever follows is told when the keys are others.
    pub(super) fn follow(&self, changes: &PolicyVersion) {
        // Of one that is followed already it is the same who does.
        let _ = self.changes.set(changes.clone());
    }

    /// Goes on where another has come to, if it is the same place: what cannot
    /// be had just now is not lost.
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
        // A whole value is put in; a panic cannot leave half of one.
        Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The keys, after another look if none of them is called `id`. That goes on
    /// when whoever asked is gone: else who comes and leaves could have it begun
    /// at any rate.
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

    /// Never ends.
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

    /// What was known stays, where nothing can be had.
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
