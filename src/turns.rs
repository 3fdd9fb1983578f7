//! A limit on expensive computations that any client can cause: a TLS handshake or
//! the signature of a token takes a millisecond of a core.

use std::{
    num::NonZero,
    sync::{Arc, LazyLock},
    task::{Context, Poll, ready},
    thread::available_parallelism,
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::PollSemaphore;

/// Permits for half of the cores; the other half is left for the readers. Each kind of
/// computation has a queue of its own, first in, first out, and the first of each queue
/// take turns: after a restart a crowd of handshakes would otherwise keep the tokens of
/// those who are through waiting for seconds, and a crowd of tokens the handshakes.
/// Cheap to clone; all clones are the same.
#[derive(Debug, Clone)]
pub struct Turns {
    permits: Arc<Semaphore>,
    handshakes: Arc<Semaphore>,
    tokens: Arc<Semaphore>,
    /// Those that were valid recently.
    known_tokens: Arc<Semaphore>,
}

impl Default for Turns {
    fn default() -> Self {
        let cores = available_parallelism().map_or(1, NonZero::get);
        // As many at the head of each queue as there are permits: one kind alone can use
        // all of them.
        let semaphore = || Arc::new(Semaphore::new(cores.div_ceil(2)));
        Self {
            permits: semaphore(),
            handshakes: semaphore(),
            tokens: semaphore(),
            known_tokens: semaphore(),
        }
    }
}

/// Shared by handshakes and tokens: with half of the cores for each, a flood of both
/// would occupy all of them.
static OF_THE_PROCESS: LazyLock<Turns> = LazyLock::new(Turns::default);

/// Has to be held during the computation, and not while the task waits. The semaphores
/// are never closed.
#[derive(Debug)]
pub(crate) struct Turn {
    _permit: Option<OwnedSemaphorePermit>,
    _place: Option<OwnedSemaphorePermit>,
}

/// For a future that takes a turn at each poll. A clone waits for a turn of its own.
#[derive(Debug)]
pub(crate) struct PollTurns {
    permits: PollSemaphore,
    queue: PollSemaphore,
    place: Option<OwnedSemaphorePermit>,
}

impl Turns {
    /// The permits of the process, shared by all gateways in it.
    pub fn of_the_process() -> Self {
        OF_THE_PROCESS.clone()
    }

    /// A turn for a token: one that was valid recently does not wait for a crowd of new
    /// ones, which may be forged. Cancel-safe.
    pub(crate) async fn for_token(&self, is_known: bool) -> Turn {
        let queue = match is_known {
            true => &self.known_tokens,
            false => &self.tokens,
        };
        let place = Arc::clone(queue).acquire_owned().await.ok();
        let permit = Arc::clone(&self.permits).acquire_owned().await.ok();
        Turn {
            _permit: permit,
            _place: place,
        }
    }

    /// Turns for handshakes.
    pub(crate) fn for_handshakes(&self) -> PollTurns {
        PollTurns {
            permits: PollSemaphore::new(Arc::clone(&self.permits)),
            queue: PollSemaphore::new(Arc::clone(&self.handshakes)),
            place: None,
        }
    }

    #[cfg(test)]
    pub(crate) fn permits(&self) -> Arc<Semaphore> {
        Arc::clone(&self.permits)
    }
}

impl PollTurns {
    pub(crate) fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<Turn> {
        if self.place.is_none() {
            self.place = ready!(self.queue.poll_acquire(cx));
        }
        let permit = ready!(self.permits.poll_acquire(cx));
        Poll::Ready(Turn {
            _permit: permit,
            _place: self.place.take(),
        })
    }
}

impl Clone for PollTurns {
    fn clone(&self) -> Self {
        Self {
            permits: self.permits.clone(),
            queue: self.queue.clone(),
            place: None,
        }
    }
}
