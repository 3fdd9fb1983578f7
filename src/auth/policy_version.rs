//! Version of the authorization policy: raised whenever a client that was admitted
//! before might not be admitted now.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use tokio::sync::watch;

/// The version counter; clones share it. It is read for every delivery, so it takes no
/// lock.
#[derive(Debug, Clone)]
pub(super) struct PolicyVersion(Arc<(AtomicU64, watch::Sender<()>)>);

impl Default for PolicyVersion {
    fn default() -> Self {
        let changed = watch::Sender::new(());
        Self(Arc::new((AtomicU64::new(0), changed)))
    }
}

impl PolicyVersion {
    /// The current version; it only rises.
    pub(super) fn version(&self) -> u64 {
        self.0.0.load(Ordering::Acquire)
    }

    /// Raises the version. Must be called after the change, so that the new number is
    /// visible only together with the new policy.
    pub(super) fn tell(&self) {
        self.0.0.fetch_add(1, Ordering::Release);
        self.0.1.send_replace(());
    }

    pub(super) fn follow(&self) -> watch::Receiver<()> {
        self.0.1.subscribe()
    }
}
