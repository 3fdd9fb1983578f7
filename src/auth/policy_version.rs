//! Which version of the rules it is: raised whenever somebody who was let in
//! before might not be now.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use tokio::sync::watch;

/// Cheap to clone; all clones are the same. The number is looked at for every
/// delivery, so it has no lock.
#[derive(Debug, Clone)]
pub(super) struct PolicyVersion(Arc<(AtomicU64, watch::Sender<()>)>);

impl Default for PolicyVersion {
    fn default() -> Self {
        let changed = watch::Sender::new(());
        Self(Arc::new((AtomicU64::new(0), changed)))
    }
}

impl PolicyVersion {
    /// Rises.
    pub(super) fn version(&self) -> u64 {
        self.0.0.load(Ordering::Acquire)
    }

    /// To be called after the change: who sees the new number must see what it
    /// stands for.
    pub(super) fn tell(&self) {
        self.0.0.fetch_add(1, Ordering::Release);
        self.0.1.send_replace(());
    }

    pub(super) fn follow(&self) -> watch::Receiver<()> {
        self.0.1.subscribe()
    }
}
