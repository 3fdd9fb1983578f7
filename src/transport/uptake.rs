//! Whether the reader of an HTTP/2 stream takes what it is given.
//!
//! Its socket proves nothing: it takes pings, and what the connection's other
//! streams are sent. So each stream is watched by itself, and one that takes
//! nothing for the limit is reset alone (RFC 9113, section 5.4.2). It cannot
//! be told why: its window is shut for a status too.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use axum::body::{Body, Bytes};
use hyper::{
    body::{Body as HttpBody, Frame, SizeHint},
    rt::Executor,
};
use tokio::{
    select, task_local,
    time::{Instant, sleep, sleep_until},
};
use tracing::debug;

task_local! {
    /// Of the stream whose task this is.
    static UPTAKE: Arc<Uptake>;
}

/// When the chunk was given that waits to be taken.
#[derive(Debug, Default)]
struct Uptake(Mutex<Option<Instant>>);

impl Uptake {
    fn given(&self) {
        self.set(Some(Instant::now()));
    }

    fn taken(&self) {
        self.set(None);
    }

    fn set(&self, waiting_since: Option<Instant>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = waiting_since;
    }

    fn waiting_since(&self) -> Option<Instant> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns when a chunk has waited for `limit`.
    async fn stalled(&self, limit: Duration) {
        loop {
            match self.waiting_since() {
                Some(since) if since.elapsed() >= limit => return,
                Some(since) => sleep_until(since + limit).await,
                None => sleep(limit).await,
            }
        }
    }
}

/// Runs HTTP/2 streams, each in a task of its own.
#[derive(Debug, Clone, Copy)]
pub(super) struct Streams {
    /// A stream that takes nothing for so long is reset.
    pub(super) limit: Duration,
}

impl<F> Executor<F> for Streams
where
    F: Future<Output: Send> + Send + 'static,
{
    fn execute(&self, stream: F) {
        let limit = self.limit;
        tokio::spawn(async move {
            let uptake = Arc::new(Uptake::default());
            select! {
                biased;
                _ = UPTAKE.scope(Arc::clone(&uptake), stream) => {}
                () = uptake.stalled(limit) => debug!("a stream takes nothing: reset"),
            }
        });
    }
}

/// A response's body: asked for the next chunk when the one before is taken.
#[derive(Debug)]
pub(super) struct Watched {
    body: Body,
    /// None on HTTP/1, where the socket itself is watched.
    uptake: Option<Arc<Uptake>>,
}

impl Watched {
    /// To be called in the task of the stream.
    pub(super) fn new(body: Body) -> Self {
        let uptake = UPTAKE.try_with(Arc::clone).ok();
        Self { body, uptake }
    }
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        if let Some(uptake) = &self.uptake {
            match &frame {
                Poll::Ready(Some(_)) => uptake.given(),
                _ => uptake.taken(),
            }
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
