//! Keepalive and token expiry of a reader's connection.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::{Duration, SystemTime},
};

use tokio::time::{Instant, Sleep, sleep_until};

use crate::transport::access::{
    admission::Settings, authorized::AuthorizedSubscription, expiry::left,
};

/// Action that is due now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::transport) enum KeepaliveAction {
    /// Send a keepalive, which asks for an answer if the client can give one:
    /// nothing was sent for a period, or nothing was received from such a client.
    Sign,
    /// End the connection: the client has not answered for too long, even if its
    /// socket still accepts data.
    Gone,
    /// End the connection: the reader's token has expired.
    Expired,
}

/// Keepalive timer of a connection. It is not reset for each message: when it
/// fires, it checks when the last one was sent.
#[derive(Debug)]
pub(in crate::transport) struct Keepalive {
    period: Duration,
    sent: Instant,
    answers: Option<Answers>,
    expires: Option<SystemTime>,
    timer: Pin<Box<Sleep>>,
}

/// State of a client that answers keepalives.
#[derive(Debug)]
struct Answers {
    /// How long an answer may take.
    limit: Duration,
    heard: Instant,
    /// When the first unanswered keepalive was sent.
    asked: Option<Instant>,
}

impl Keepalive {
    /// For a transport on which the client sends nothing.
    pub(in crate::transport) fn new(period: Duration) -> Self {
        let sent = Instant::now();
        Self {
            period,
            sent,
            answers: None,
            expires: None,
            timer: Box::pin(sleep_until(sent + period)),
        }
    }

    /// For a transport on which the client answers within `limit`. A keepalive is
    /// sent once a period even while events are sent: a middlebox may accept them
    /// for a client that no longer exists.
    pub(in crate::transport) fn answered(period: Duration, limit: Duration) -> Self {
        let idle = Self::new(period);
        let answers = Answers {
            limit,
            heard: idle.sent,
            asked: None,
        };
        Self {
            answers: Some(answers),
            ..idle
        }
    }

    /// For a reader whose client answers pings.
    pub(in crate::transport) fn answered_with(settings: &Settings) -> Self {
        Self::answered(settings.keepalive, settings.write_timeout)
    }

    /// Sets the expiry of the reader's token, by the wall clock; it is compared
    /// again at each keepalive, in case the clock was set.
    pub(in crate::transport) fn expire(&mut self, at: Option<SystemTime>) {
        self.expires = at;
        let next = self.wakes_at();
        self.timer.as_mut().reset(next);
    }

    /// Checks the expiry by the clock alone, for a connection that is never idle.
    pub(in crate::transport) fn is_over(&self) -> bool {
        self.expires.is_some_and(|at| left(at).is_zero())
    }

    /// Records that data was sent at this time.
    pub(in crate::transport) fn touch(&mut self, sent: Instant) {
        self.sent = self.sent.max(sent);
    }

    /// Records that a full socket has accepted data just now. A ping behind queued
    /// data reaches the client late, so the client has longer to answer.
    pub(in crate::transport) fn took(&mut self) {
        let now = Instant::now();
        self.sent = now;
        let asked = self.answers.as_mut().and_then(|a| a.asked.as_mut());
        if let Some(asked) = asked {
            *asked = now;
        }
    }

    /// Records that data was received from the client.
    pub(in crate::transport) fn heard(&mut self) {
        if let Some(answers) = &mut self.answers {
            answers.heard = Instant::now();
            answers.asked = None;
        }
    }

    /// The next due action for `reader`; its token's expiry may no longer apply.
    pub(in crate::transport) fn poll_due_of(
        &mut self,
        reader: &AuthorizedSubscription,
        cx: &mut Context<'_>,
    ) -> Poll<KeepaliveAction> {
        let due = ready!(self.poll_due(cx));
        if due == KeepaliveAction::Expired && !reader.can_expire() {
            self.expire(None);
            return self.poll_due(cx);
        }
        Poll::Ready(due)
    }

    /// The next due action; a keepalive counts as sent.
    pub(in crate::transport) fn poll_due(&mut self, cx: &mut Context<'_>) -> Poll<KeepaliveAction> {
        loop {
            ready!(self.timer.as_mut().poll(cx));
            let now = Instant::now();
            if self.is_over() {
                return Poll::Ready(KeepaliveAction::Expired);
            }
            if self.is_gone(now) {
                return Poll::Ready(KeepaliveAction::Gone);
            }
            let is_sign_due = self.sign_at() <= now;
            if is_sign_due {
                self.sent = now;
                if let Some(answers) = &mut self.answers {
                    answers.asked.get_or_insert(now);
                }
            }
            let next = self.wakes_at();
            self.timer.as_mut().reset(next);
            if is_sign_due {
                return Poll::Ready(KeepaliveAction::Sign);
            }
        }
    }

    fn is_gone(&self, now: Instant) -> bool {
        self.gone_at().is_some_and(|at| at <= now)
    }

    fn gone_at(&self) -> Option<Instant> {
        let answers = self.answers.as_ref()?;
        Some(answers.asked? + answers.limit)
    }

    fn sign_at(&self) -> Instant {
        let unasked = self.answers.as_ref().filter(|a| a.asked.is_none());
        let last = unasked.map_or(self.sent, |answers| answers.heard.min(self.sent));
        last + self.period
    }

    fn wakes_at(&self) -> Instant {
        let expires_at = self.expires.map(|at| Instant::now() + left(at));
        let others = [self.gone_at(), expires_at];
        others
            .into_iter()
            .flatten()
            .fold(self.sign_at(), Instant::min)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::time::advance;

    use super::*;

    const PERIOD: Duration = Duration::from_secs(15);
    const LIMIT: Duration = Duration::from_secs(30);

    async fn due(idle: &mut Keepalive) -> KeepaliveAction {
        poll_fn(|cx| idle.poll_due(cx)).await
    }

    #[tokio::test(start_paused = true)]
    async fn a_sign_is_due_a_period_after_the_last_message() {
        let start = Instant::now();
        let mut idle = Keepalive::new(PERIOD);
        advance(Duration::from_secs(10)).await;
        idle.touch(Instant::now());
        assert_eq!(due(&mut idle).await, KeepaliveAction::Sign);
        assert_eq!(start.elapsed().as_secs(), 25);
        assert_eq!(due(&mut idle).await, KeepaliveAction::Sign);
        assert_eq!(start.elapsed().as_secs(), 40);
    }

    #[tokio::test(start_paused = true)]
    async fn who_answers_nothing_is_gone_after_the_limit() {
        let start = Instant::now();
        let mut idle = Keepalive::answered(PERIOD, LIMIT);
        assert_eq!(due(&mut idle).await, KeepaliveAction::Sign);
        assert_eq!(due(&mut idle).await, KeepaliveAction::Sign);
        assert_eq!(start.elapsed().as_secs(), 30);
        assert_eq!(due(&mut idle).await, KeepaliveAction::Gone);
        assert_eq!(start.elapsed().as_secs(), 45);
    }

    #[tokio::test(start_paused = true)]
    async fn who_answers_stays() {
        let mut idle = Keepalive::answered(PERIOD, LIMIT);
        for _ in 0..10 {
            assert_eq!(due(&mut idle).await, KeepaliveAction::Sign);
            advance(Duration::from_secs(14)).await;
            idle.heard();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_takes_slowly_stays_as_long_as_it_takes() {
        let start = Instant::now();
        let mut idle = Keepalive::answered(PERIOD, LIMIT);
        assert_eq!(due(&mut idle).await, KeepaliveAction::Sign);
        for _ in 0..10 {
            advance(Duration::from_secs(14)).await;
            idle.took();
        }
        while due(&mut idle).await == KeepaliveAction::Sign {}
        assert_eq!(start.elapsed().as_secs(), 15 + 140 + 30);
    }

    #[tokio::test]
    async fn a_token_ends_by_the_wall_clock() {
        let mut idle = Keepalive::answered(PERIOD, LIMIT);
        let at = SystemTime::now() + Duration::from_millis(30);
        idle.expire(Some(at));
        assert_eq!(due(&mut idle).await, KeepaliveAction::Expired);
        assert!(SystemTime::now() >= at);
        // A new expiry extends it.
        idle.expire(Some(at + LIMIT));
        let polled = poll_fn(|cx| Poll::Ready(idle.poll_due(cx))).await;
        assert!(polled.is_pending());
        idle.expire(Some(SystemTime::UNIX_EPOCH));
        assert_eq!(due(&mut idle).await, KeepaliveAction::Expired);
    }

    #[tokio::test(start_paused = true)]
    async fn one_to_whom_much_is_sent_is_asked_too() {
        let start = Instant::now();
        let mut idle = Keepalive::answered(PERIOD, LIMIT);
        for _ in 0..14 {
            advance(Duration::from_secs(1)).await;
            idle.touch(Instant::now());
        }
        assert_eq!(due(&mut idle).await, KeepaliveAction::Sign);
        assert_eq!(start.elapsed().as_secs(), 15);
    }
}
