//! A limit on expensive computations that any client can cause: a TLS handshake or
//! the signature of a token takes a millisecond of a core.

use std::{
    num::NonZero,
    sync::{Arc, LazyLock},
    thread::available_parallelism,
};

use tokio::sync::Semaphore;

/// Permits for half of the cores; the other half is left for the readers. The queue
/// is first in, first out. Cheap to clone; all clones are the same.
#[derive(Debug, Clone)]
pub struct Turns(Arc<Semaphore>);

impl Default for Turns {
    fn default() -> Self {
        let cores = available_parallelism().map_or(1, NonZero::get);
        Self(Arc::new(Semaphore::new(cores.div_ceil(2))))
    }
}

/// Shared by handshakes and tokens: with half of the cores for each, a flood of both
/// would occupy all of them.
static OF_THE_PROCESS: LazyLock<Turns> = LazyLock::new(Turns::default);

impl Turns {
    /// The permits of the process, shared by all gateways in it.
    pub fn of_the_process() -> Self {
        OF_THE_PROCESS.clone()
    }

    /// A permit has to be held during the computation, and not while the task waits.
    /// The semaphore is never closed.
    pub(crate) fn semaphore(&self) -> Arc<Semaphore> {
        Arc::clone(&self.0)
    }
}
