//! Passes the source's items to the hub, without ever waiting for a reader.

use std::{pin::pin, sync::Arc};

use futures_util::StreamExt;
use tokio::select;
use tokio_stream::Stream;
use tracing::info;

use crate::{
    event::{Followed, Notification},
    hub::{Hub, IngestBatch},
    service_manager::ServiceManager,
    source::SourceItem,
    telemetry::{SentAt, Traces},
};

/// Items applied under one lock: in a burst each reader is woken once per batch,
/// and a reader waits for the lock no longer than a batch takes.
const INTAKE: usize = 256;

/// Task that passes items to the hub, and reports them to the observers.
pub(super) struct Pump {
    pub(super) hub: Hub,
    pub(super) service_manager: ServiceManager,
    pub(super) sent_at: Arc<SentAt>,
    pub(super) traces: Option<Traces>,
}

impl Pump {
    /// Ends with the source. While it runs, it sends the watchdog's keep-alive
    /// messages: the gateway is alive.
    pub(super) async fn run(self, items: impl Stream<Item = SourceItem>) {
        let mut batches = pin!(items.ready_chunks(INTAKE));
        let mut watchdog = self.service_manager.watchdog();
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
        let mut followed = self.followed(&batch);
        self.hub.ingest(|intake| {
            for (place, item) in batch.into_iter().enumerate() {
                let is_next = |next: &mut (usize, Followed)| next.0 == place;
                let followed = followed.pop_if(is_next).map(|(_, followed)| followed);
                take_in(intake, item, followed.unwrap_or_default());
            }
        });
        if let Some(status) = status {
            self.service_manager.status(status);
        }
    }

    /// The traced notifications by their index in the batch, in reverse order;
    /// usually empty. Not under the hub's lock, since it parses the payloads.
    fn followed(&self, batch: &[SourceItem]) -> Vec<(usize, Followed)> {
        let Some(traces) = &self.traces else {
            return Vec::new();
        };
        let items = batch.iter().enumerate().rev();
        let notifications = items.filter_map(|(place, item)| Some((place, notification(item)?)));
        let followed = notifications.map(|(place, item)| (place, traces.follow(item)));
        followed.filter(|(_, f)| f.is_followed()).collect()
    }
}

fn notification(item: &SourceItem) -> Option<&Notification> {
    match item {
        SourceItem::Notification(notification) => Some(notification),
        _ => None,
    }
}

fn payload(item: &SourceItem) -> Option<&str> {
    notification(item).map(|notification| &*notification.payload)
}

/// Status line for the service manager.
fn status(item: &SourceItem) -> Option<&'static str> {
    match item {
        SourceItem::Live { .. } => Some("the source is live"),
        SourceItem::Interrupted { .. } => Some("the source is interrupted"),
        _ => None,
    }
}

fn take_in(intake: &mut IngestBatch<'_>, item: SourceItem, followed: Followed) {
    match item {
        SourceItem::Notification(notification) => intake.followed(notification, followed),
        SourceItem::Listening(channels) => {
            for (channel, generation) in channels {
                intake.listening(&channel, generation);
            }
        }
        SourceItem::Refused(channel, generation) => intake.refused(&channel, generation),
        SourceItem::Health(health) => intake.health(health),
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
