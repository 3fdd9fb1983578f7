//! When a token ends that a stream was begun with: by the wall clock, as its
//! makers mean it, looked at again now and then in case somebody sets it.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::{Duration, SystemTime},
};

use tokio::time::{Instant, Sleep, sleep};

use super::codes::{Code, Refusal};

/// Between two looks at the clock.
const LOOK: Duration = Duration::from_secs(15);

/// How long it is until `at`; zero when that is over.
pub(super) fn left(at: SystemTime) -> Duration {
    at.duration_since(SystemTime::now()).unwrap_or_default()
}

/// What the client is told.
pub(super) fn expired() -> Refusal {
    Refusal::new(Code::Unauthenticated, "the token has expired")
}

/// Of a stream that has no other timer.
#[derive(Debug)]
pub(super) struct Expiry {
    at: SystemTime,
    timer: Pin<Box<Sleep>>,
}

impl Expiry {
    pub(super) fn new(at: SystemTime) -> Self {
        let timer = Box::pin(sleep(left(at).min(LOOK)));
        Self { at, timer }
    }

    /// By the clock alone: a task that never rests may keep the timers from
    /// theirs.
    pub(super) fn is_over(&self) -> bool {
        left(self.at).is_zero()
    }

    /// Ready when it is over.
    pub(super) fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            ready!(self.timer.as_mut().poll(cx));
            if self.is_over() {
                return Poll::Ready(());
            }
            let next = Instant::now() + left(self.at).min(LOOK);
            self.timer.as_mut().reset(next);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    #[tokio::test]
    async fn it_is_over_at_its_time_and_not_before() {
        for millis in [0, 30] {
            let at = SystemTime::now() + Duration::from_millis(millis);
            let mut expiry = Expiry::new(at);
            poll_fn(|cx| expiry.poll_over(cx)).await;
            assert!(SystemTime::now() >= at, "{millis}");
        }
        let mut long = Expiry::new(SystemTime::now() + Duration::from_secs(3600));
        let polled = poll_fn(|cx| Poll::Ready(long.poll_over(cx))).await;
        assert!(polled.is_pending());
    }
}
