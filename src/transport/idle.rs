//! When a reader to whom nothing was sent is due a sign of life.

use std::{pin::Pin, time::Duration};

use tokio::time::{Instant, Sleep, sleep_until};

/// One timer for a connection. It is not re-armed for each message: when it
/// fires, it looks whether there was any.
#[derive(Debug)]
pub(super) struct Idle {
    period: Duration,
    last: Instant,
    timer: Pin<Box<Sleep>>,
}

impl Idle {
    pub(super) fn new(period: Duration) -> Self {
        let last = Instant::now();
        Self {
            period,
            last,
            timer: Box::pin(sleep_until(last + period)),
        }
    }

    /// Something was sent just now.
    pub(super) fn touch(&mut self) {
        self.last = Instant::now();
    }

    /// Returns when nothing was sent for a period, and begins the next one.
    /// Cancel-safe.
    pub(super) async fn due(&mut self) {
        loop {
            self.timer.as_mut().await;
            let due = self.last + self.period;
            let now = Instant::now();
            if due <= now {
                self.last = now;
                self.timer.as_mut().reset(now + self.period);
                return;
            }
            self.timer.as_mut().reset(due);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_sign_is_due_a_period_after_the_last_message() {
        let period = Duration::from_secs(15);
        let start = Instant::now();
        let mut idle = Idle::new(period);
        tokio::time::advance(Duration::from_secs(10)).await;
        idle.touch();
        idle.due().await;
        assert_eq!(start.elapsed().as_secs(), 25);
        idle.due().await;
        assert_eq!(start.elapsed().as_secs(), 40);
    }
}
