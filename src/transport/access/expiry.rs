//! When a token ends that a stream was begun with: by the wall clock, as its
//! makers mean it, looked at again now and then in case somebody sets it.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::{Duration, SystemTime},
};

use tokio::time::{Instant, Sleep, sleep};

use crate::transport::protocol::codes::{Code, Refusal};

/// Between two looks at the clock.
const LOOK: Duration = Duration::from_secs(15);

/// How long it is until `at`; zero when that is over.
pub(in crate::transport) fn left(at: SystemTime) -> Duration {
    at.duration_since(SystemTime::now()).unwrap_or_default()
}

/// What the client is told.
pub(in crate::transport) fn expired() -> Refusal {
    Refusal::new(Code::Unauthenticated, "the token has expired")
}

/// Of a stream that has no other timer.
#[derive(Debug)]
pub(in crate::transport) struct Expiry {
    at: SystemTime,
    timer: Pin<Box<Sleep>>,
}

impl Expiry {
    pub(in crate::transport) fn new(at: SystemTime) -> Self {
        let timer = Box::pin(sleep(left(at).min(LOOK)));
        Self { at, timer }
    }

    /// By the clock alone: a task that never rests may keep the timers from
    /// theirs.
    pub(in crate::transport) fn is_over(&self) -> bool {
        left(self.at).is_zero()
    }

    /// Ready when it is over.
    pub(in crate::transport) fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<()> {
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
