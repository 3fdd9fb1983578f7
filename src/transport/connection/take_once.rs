//! A value that is taken once. Extensions of a response have to be `Clone`; the
//! values put there are not all.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

/// All clones share one value, until one of them takes it.
pub(super) struct TakeOnce<T>(Arc<Mutex<Option<T>>>);

impl<T> TakeOnce<T> {
    pub(super) fn new(held: T) -> Self {
        Self(Arc::new(Mutex::new(Some(held))))
    }

    /// `None` if it was taken before.
    pub(super) fn take(&self) -> Option<T> {
        // Nothing can panic under the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl<T> Clone for TakeOnce<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> fmt::Debug for TakeOnce<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TakeOnce")
    }
}
