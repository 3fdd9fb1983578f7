//! What the listening and the second session know of each other.

use tokio::{select, sync::watch};

use crate::{
    event::ChannelName,
    publish::{PublishQueue, PublishRequest, Publisher},
};

/// What the last look at the server showed.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Inspection {
    /// `pg_notification_queue_usage()`: 0 to 1, full at 1. `None` when nobody
    /// could look for long.
    pub(super) queue_usage: Option<f64>,
    /// The server takes no new session, and waits for those it has to end.
    pub(super) shutting_down: bool,
    /// The newest that has committed.
    pub(super) proof: Option<Proof>,
}

/// What the second session has notified to find out whether it is heard.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Proof {
    /// The private channel of the session that is to hear it.
    pub(super) to: ChannelName,
    /// Rises, and is never used twice.
    pub(super) number: u64,
}

/// What became of the listening session.
#[derive(Debug, Clone, Default)]
pub(super) struct ListenerStatus {
    /// Where it is: what is notified on another host is not heard.
    pub(super) host: Option<String>,
    /// How many were lost after they had been live.
    pub(super) losses: u64,
    /// The private channel of one that is live.
    pub(super) live: Option<ChannelName>,
    /// The newest proof that was heard.
    pub(super) heard: u64,
}

/// What the second session is to notify.
#[derive(Debug)]
pub(super) struct Requests {
    /// Without an answer to them the source is not live: they go before what
    /// clients publish, however much that is.
    pub(super) probes: PublishQueue,
    pub(super) clients: PublishQueue,
}

impl Requests {
    /// `None` when nobody can publish any more. Cancel-safe.
    pub(super) async fn next(&mut self) -> Option<PublishRequest> {
        select! {
            biased;
            Some(probe) = self.probes.recv() => Some(probe),
            request = self.clients.recv() => request,
        }
    }

    /// What waits already.
    pub(super) fn waiting(&mut self) -> Option<PublishRequest> {
        let probe = self.probes.try_recv();
        probe.or_else(|_| self.clients.try_recv()).ok()
    }
}

/// The listening session's end of the two.
#[derive(Debug)]
pub(super) struct Second {
    pub(super) prober: Publisher,
    pub(super) inspections: watch::Receiver<Inspection>,
    pub(super) listening: watch::Sender<ListenerStatus>,
}

impl Second {
    /// A listening session begins here.
    pub(super) fn listens_on(&self, host: String) {
        self.listening.send_modify(|seen| seen.host = Some(host));
    }

    /// It has ended.
    pub(super) fn left(&self, was_live: bool) {
        self.listening.send_modify(|seen| {
            seen.host = None;
            seen.live = None;
            seen.losses += u64::from(was_live);
        });
    }
}
