//! From the source into the hub, without ever waiting for a reader.

use std::{pin::pin, sync::Arc};

use futures_util::StreamExt;
use tokio::select;
use tokio_stream::Stream;
use tracing::info;

use crate::{
    hub::{Hub, Intake},
    source::SourceItem,
    supervisor::Supervisor,
    telemetry::SentAt,
};

/// Items taken in under one lock: a burst wakes each reader once for so many,
/// and no reader waits longer for the lock than they take.
const INTAKE: usize = 256;

/// See the module; and who is told of what passes.
pub(super) struct Pump {
    pub(super) hub: Hub,
    pub(super) supervisor: Supervisor,
    pub(super) sent_at: Arc<SentAt>,
}

impl Pump {
    /// Ends with the source. As long as it goes on the gateway is alive: the
    /// watchdog beats here.
    pub(super) async fn run(self, items: impl Stream<Item = SourceItem>) {
        let mut batches = pin!(items.ready_chunks(INTAKE));
        let mut watchdog = self.supervisor.watchdog();
        loop {
            let batch = select! {
                batch = batches.next() => batch,
                () = watchdog.beat() => continue,
            };
            let Some(batch) = batch else { return };
            self.pass(batch);
        }
    }

    fn pass(&self, batch: Vec<SourceItem>) {
        if let Some(payload) = batch.iter().find_map(payload) {
            self.sent_at.look(payload);
        }
        let status = batch.iter().rev().find_map(status);
        self.hub
            .ingest(|intake| batch.into_iter().for_each(|item| take_in(intake, item)));
        if let Some(status) = status {
            self.supervisor.status(status);
        }
    }
}

fn payload(item: &SourceItem) -> Option<&str> {
    match item {
        SourceItem::Notification(notification) => Some(&notification.payload),
        _ => None,
    }
}

/// For those who look at the service.
fn status(item: &SourceItem) -> Option<&'static str> {
    match item {
        SourceItem::Live { .. } => Some("the source is live"),
        SourceItem::Interrupted { .. } => Some("the source is interrupted"),
        _ => None,
    }
}

fn take_in(intake: &mut Intake<'_>, item: SourceItem) {
    match item {
        SourceItem::Notification(notification) => intake.notification(notification),
        SourceItem::Listening(channels) => {
            for (channel, generation) in channels {
                intake.listening(&channel, generation);
            }
        }
        SourceItem::Refused(channel, generation) => intake.refused(&channel, generation),
        SourceItem::QueueUsage(usage) => intake.queue_usage(usage),
        SourceItem::Interrupted { since } => {
            info!("the source is interrupted");
            intake.interrupted(since);
        }
        SourceItem::Live { lost } => {
            info!(lost, "the source is live");
            intake.live(lost);
        }
    }
}
