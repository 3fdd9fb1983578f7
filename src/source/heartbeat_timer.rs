//! Decides when a heartbeat is due, and when the session is overdue. Pure.
//!
//! A heartbeat is a notification of the session to itself. Its arrival proves the
//! connection, the LISTEN and the server's queue; neither TCP keepalive nor a query
//! does. It queues behind earlier commits, so every received message counts as
//! progress; before the session is proven, only up to a limit.

use std::time::Duration;

use tokio::time::Instant;

/// Time for a new session to repeat its LISTENs. A backlog in the cluster's queue, at
/// most 8 GB, costs it about 0.5 s per GB.
const SET_UP: Duration = Duration::from_secs(30);

/// Maximum time until the probe of a new session arrives, whatever else is received: it
/// may have been committed on another server, to which the same host name resolves now.
/// Only commits since the LISTENs are ahead of it.
const PROBE: Duration = Duration::from_secs(10);

/// Maximum time until the heartbeat behind a proof arrives, whatever else is received:
/// events that come faster than they are read must not hide another server
/// indefinitely. Millions are read within that time.
const FENCED: Duration = Duration::from_secs(30);

/// The action that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    Nothing,
    HeartbeatQuery,
    /// The session may be dead.
    Overdue,
}

/// Timer of the heartbeats of one session.
#[derive(Debug)]
pub(super) struct HeartbeatTimer {
    interval: Duration,
    timeout: Duration,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Until the next heartbeat.
    Resting { until: Instant },
    /// A heartbeat is in flight; after `latest` other progress no longer counts.
    Waiting {
        sent: Instant,
        until: Instant,
        latest: Option<Instant>,
    },
}

impl HeartbeatTimer {
    /// A timer for a session that is being set up.
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

    /// Time of the next check.
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

    /// The auxiliary session has just committed the probe of this session.
    pub(super) fn probed(&mut self, now: Instant) {
        self.wait(now, Some(now + PROBE.max(self.timeout)));
    }

    /// The heartbeat behind a proof was sent.
    pub(super) fn fenced(&mut self, now: Instant) {
        self.wait(now, Some(now + FENCED.max(self.timeout)));
    }

    /// Waits for the arrival of a notification sent now.
    fn wait(&mut self, now: Instant, latest: Option<Instant>) {
        self.state = State::Waiting {
            sent: now,
            until: now + self.timeout,
            latest,
        };
    }

    /// Another message was received.
    pub(super) fn progress(&mut self, now: Instant) {
        if let State::Waiting { until, latest, .. } = &mut self.state {
            let next = (*until).max(now + self.timeout);
            *until = latest.map_or(next, |latest| next.min(latest));
        }
    }

    /// The session is set up, or its heartbeat has arrived.
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
        // Progress shortly before the limit.
        let mut slow = HeartbeatTimer::new(2 * S, 30 * S, now);
        slow.probed(now);
        assert_eq!(slow.due(now + 29 * S), Due::Nothing);
    }
}
