//! State shared between the listening and the auxiliary session.

use tokio::{select, sync::watch};

use crate::{
    event::ChannelName,
    publish::{PublishQueue, PublishRequest, Publisher},
};

/// Result of the latest check of the server.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Inspection {
    /// `pg_notification_queue_usage()`: 0 to 1, full at 1. `None` if it could not be
    /// checked for a while.
    pub(super) queue_usage: Option<f64>,
    /// The server refuses new sessions, and waits for the existing ones to end.
    pub(super) shutting_down: bool,
    /// The newest proof that has committed.
    pub(super) proof: Option<Proof>,
}

/// A notification by which the auxiliary session checks that it reaches the listening
/// one.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Proof {
    /// The private channel of the session that should receive it.
    pub(super) to: ChannelName,
    /// Increases with each proof, and is never reused.
    pub(super) number: u64,
}

/// Status of the listening session.
#[derive(Debug, Clone, Default)]
pub(super) struct ListenerStatus {
    /// Its host: notifications sent on another host do not arrive.
    pub(super) host: Option<String>,
    /// Number of sessions that were lost after they had been live.
    pub(super) losses: u64,
    /// The private channel of the live session.
    pub(super) live: Option<ChannelName>,
    /// Number of the newest proof that was received.
    pub(super) heard: u64,
}

/// Notifications for the auxiliary session to send.
#[derive(Debug)]
pub(super) struct Requests {
    /// The source is not live until these are answered, so they come before those of
    /// clients, however many there are.
    pub(super) probes: PublishQueue,
    pub(super) clients: PublishQueue,
}

impl Requests {
    /// The next request; `None` when the last publisher of clients was dropped.
    /// Cancel-safe.
    pub(super) async fn next(&mut self) -> Option<PublishRequest> {
        select! {
            biased;
            Some(probe) = self.probes.recv() => Some(probe),
            request = self.clients.recv() => request,
        }
    }

    /// The next request that is already waiting.
    pub(super) fn waiting(&mut self) -> Option<PublishRequest> {
        let probe = self.probes.try_recv();
        probe.or_else(|_| self.clients.try_recv()).ok()
    }
}

/// The listening session's end of the link.
#[derive(Debug)]
pub(super) struct Second {
    pub(super) prober: Publisher,
    pub(super) inspections: watch::Receiver<Inspection>,
    pub(super) listening: watch::Sender<ListenerStatus>,
}

impl Second {
    /// A listening session starts on this host.
    pub(super) fn listens_on(&self, host: String) {
        self.listening.send_modify(|seen| seen.host = Some(host));
    }

    /// The listening session has ended.
    pub(super) fn left(&self, was_live: bool) {
        self.listening.send_modify(|seen| {
            seen.host = None;
            seen.live = None;
            seen.losses += u64::from(was_live);
        });
    }
}
