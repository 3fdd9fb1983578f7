//! When a beat is due, and when the session is overdue. Pure.
//!
//! A beat is a notification of the session to itself: its arrival proves the
//! connection, the LISTEN and the server's queue, which neither TCP keepalive
//! nor a query does. It queues behind what was committed before, so whatever
//! is heard counts as progress; of a session that is not proven yet, not for
//! ever.

use std::time::Duration;

use tokio::time::Instant;

/// How long a new session may take to repeat its LISTENs. A backlog in the
/// cluster's queue, 8 GB at the most, costs it about 0.5 s a GB.
const SET_UP: Duration = Duration::from_secs(30);

/// How long the probe of a new session may be on its way, whatever else is
/// heard: it may have been committed on another server, where the same name
/// leads now. What stands before it is what was committed since the LISTENs.
const PROBE: Duration = Duration::from_secs(10);

/// How long the beat behind a proof may be on its way, whatever else is heard:
/// events that come faster than they are read must not hide another server for
/// ever. Within that time millions are read.
const FENCED: Duration = Duration::from_secs(30);

/// What is to be done now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    Nothing,
    HeartbeatQuery,
    /// The session is suspect.
    Overdue,
}

/// See the module.
#[derive(Debug)]
pub(super) struct HeartbeatTimer {
    interval: Duration,
    timeout: Duration,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// The next beat is due.
    Resting { until: Instant },
    /// A beat is on its way; nothing makes up for it after `latest`.
    Waiting {
        sent: Instant,
        until: Instant,
        latest: Option<Instant>,
    },
}

impl HeartbeatTimer {
    /// Of a session that is being set up.
    pub(super) fn new(interval: Duration, timeout: Duration, now: Instant) -> Self {
        Self {
            interval,
            timeout,
            state: State::Waiting {
                sent: now,
                until: now + SET_UP,
                latest: None,
            },
        }
    }

    /// When to look again, whatever else happens.
    pub(super) fn wakes_at(&self) -> Instant {
        match self.state {
            State::Resting { until } | State::Waiting { until, .. } => until,
        }
    }

    pub(super) fn due(&mut self, now: Instant) -> Due {
        match self.state {
            State::Resting { until } if now >= until => {
                self.wait(now, None);
                Due::HeartbeatQuery
            }
            State::Waiting { until, .. } if now >= until => Due::Overdue,
            _ => Due::Nothing,
        }
    }

    /// Another session committed just now the notification that proves this one.
    pub(super) fn probed(&mut self, now: Instant) {
        self.wait(now, Some(now + PROBE.max(self.timeout)));
    }

    /// A beat was sent that decides whether a proof is missing.
    pub(super) fn fenced(&mut self, now: Instant) {
        self.wait(now, Some(now + FENCED.max(self.timeout)));
    }

    /// What was sent now must arrive.
    fn wait(&mut self, now: Instant, latest: Option<Instant>) {
        self.state = State::Waiting {
            sent: now,
            until: now + self.timeout,
            latest,
        };
    }

    /// Something else was heard.
    pub(super) fn progress(&mut self, now: Instant) {
        if let State::Waiting { until, latest, .. } = &mut self.state {
            let next = (*until).max(now + self.timeout);
            *until = latest.map_or(next, |latest| next.min(latest));
        }
    }

    /// The session is set up, or its beat has arrived.
    pub(super) fn proven(&mut self) {
        if let State::Waiting { sent, .. } = self.state {
            self.state = State::Resting {
                until: sent + self.interval,
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    fn live(now: Instant) -> HeartbeatTimer {
        let mut heartbeat = HeartbeatTimer::new(2 * S, 3 * S, now);
        heartbeat.proven();
        heartbeat
    }

    #[tokio::test(start_paused = true)]
    async fn silence_is_overdue_after_interval_and_timeout() {
        let now = Instant::now();
        let mut heartbeat = live(now);
        assert_eq!(heartbeat.due(now + S), Due::Nothing);
        assert_eq!(heartbeat.due(now + 2 * S), Due::HeartbeatQuery);
        assert_eq!(heartbeat.due(now + 4 * S), Due::Nothing);
        assert_eq!(heartbeat.due(now + 5 * S), Due::Overdue);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_proves_it_until_the_next_beat() {
        let now = Instant::now();
        let mut heartbeat = live(now);
        assert_eq!(heartbeat.due(now + 2 * S), Due::HeartbeatQuery);
        heartbeat.proven();
        assert_eq!(heartbeat.wakes_at(), now + 4 * S);
        assert_eq!(heartbeat.due(now + 4 * S), Due::HeartbeatQuery);
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_before_the_answer_is_progress() {
        let now = Instant::now();
        let mut heartbeat = live(now);
        assert_eq!(heartbeat.due(now + 2 * S), Due::HeartbeatQuery);
        heartbeat.progress(now + 4 * S);
        assert_eq!(heartbeat.due(now + 6 * S), Due::Nothing);
        assert_eq!(heartbeat.due(now + 7 * S), Due::Overdue);
    }

    #[tokio::test(start_paused = true)]
    async fn a_set_up_may_take_longer() {
        let now = Instant::now();
        let mut heartbeat = HeartbeatTimer::new(2 * S, 3 * S, now);
        heartbeat.progress(now + S);
        assert_eq!(heartbeat.due(now + 29 * S), Due::Nothing);
        assert_eq!(heartbeat.due(now + SET_UP), Due::Overdue);
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_does_not_hide_a_missing_proof_for_ever() {
        let now = Instant::now();
        let mut heartbeat = live(now);
        heartbeat.fenced(now + S);
        for second in 1..31 {
            assert_eq!(heartbeat.due(now + second * S), Due::Nothing);
            heartbeat.progress(now + second * S);
        }
        assert_eq!(heartbeat.due(now + S + FENCED), Due::Overdue);
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_makes_up_for_a_probe_that_never_arrives() {
        let now = Instant::now();
        let mut heartbeat = HeartbeatTimer::new(2 * S, 3 * S, now);
        heartbeat.probed(now);
        for second in 0..10 {
            assert_eq!(heartbeat.due(now + second * S), Due::Nothing);
            heartbeat.progress(now + second * S);
        }
        assert_eq!(heartbeat.due(now + PROBE), Due::Overdue);
        // One that is answered late enough.
        let mut slow = HeartbeatTimer::new(2 * S, 30 * S, now);
        slow.probed(now);
        assert_eq!(slow.due(now + 29 * S), Due::Nothing);
    }
}
