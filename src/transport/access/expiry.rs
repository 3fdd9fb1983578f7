//! Expiry of the token that a stream began with. The wall clock decides, as
//! token issuers intend, and is checked periodically in case it is set.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::{Duration, SystemTime},
};

use tokio::time::{Instant, Sleep, sleep};

use crate::transport::protocol::codes::{Code, Refusal};

/// Interval of the clock checks.
const LOOK: Duration = Duration::from_secs(15);

/// Time until `at`; zero if it has passed.
pub(in crate::transport) fn left(at: SystemTime) -> Duration {
    at.duration_since(SystemTime::now()).unwrap_or_default()
}

/// Refusal for an expired token.
pub(in crate::transport) fn expired() -> Refusal {
    Refusal::new(Code::Unauthenticated, "the token has expired")
}

/// Expiry timer, for a stream without another timer.
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

    /// Checks only the clock: a task that never yields may keep timers from
    /// firing.
    pub(in crate::transport) fn is_over(&self) -> bool {
        left(self.at).is_zero()
    }

    /// Ready when the token has expired.
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
