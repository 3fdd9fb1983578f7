//! Queue of notifications to publish, from a client to the source's publishing
//! session. Neither end depends on the other.

use std::{any::Any, time::Duration};

use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};

use crate::event::{ChannelName, Payload};

/// Requests waiting for the publishing session: at 8 KB each at most 8 MiB. At
/// the limit a publisher is refused with `too_many`; it never waits.
pub const WAITING: usize = 1024;

/// Length of a private queue. Abandoned requests stay in it until they are
/// skipped; if they fill it, the next is refused with `too_many`, and retried.
const GIVEN_UP: usize = 4;

/// Time limit of one publish. Longer than a commit that waits for a slow disk,
/// shorter than a client waits.
pub(crate) const TIME_LIMIT: Duration = Duration::from_secs(10);

/// Reason why a notification was not, or perhaps not, committed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// The queue is full.
    #[error("the queue of publishes is full")]
    TooMany,
    /// PostgreSQL did not answer. Whether it committed is unknown.
    #[error("the database did not confirm the notification")]
    Unavailable,
    /// PostgreSQL cannot represent this channel or payload in its encoding.
    #[error("the database's encoding cannot hold this channel or payload")]
    Unrepresentable,
}

/// One notification to be committed in a transaction of its own: PostgreSQL
/// merges equal ones of the same transaction.
#[derive(Debug)]
pub struct PublishRequest {
    /// Channel of the notification.
    pub channel: ChannelName,
    /// Payload of the notification.
    pub payload: Payload,
    /// Receives the result after the commit.
    pub reply: oneshot::Sender<Result<(), PublishError>>,
}

/// A guard that is dropped when the request leaves the queue. A caller that gives up
/// earlier leaves its request there.
pub type QueueGuard = Box<dyn Any + Send>;

#[derive(Debug)]
struct Queued {
    request: PublishRequest,
    _guard: Option<QueueGuard>,
}

/// Sends notifications to the publishing session. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Publisher {
    queue: mpsc::Sender<Queued>,
}

/// Receiving end, for the publishing session.
#[derive(Debug)]
pub struct PublishQueue(mpsc::Receiver<Queued>);

impl PublishQueue {
    /// The next request; `None` when all publishers are dropped. Cancel-safe.
    pub async fn recv(&mut self) -> Option<PublishRequest> {
        Some(self.0.recv().await?.request)
    }

    /// The next request, without waiting.
    ///
    /// # Errors
    /// The queue is empty, or all publishers are dropped.
    pub fn try_recv(&mut self) -> Result<PublishRequest, mpsc::error::TryRecvError> {
        Ok(self.0.try_recv()?.request)
    }
}

/// The two ends of one bounded queue, shared by all publishers.
pub fn channel() -> (Publisher, PublishQueue) {
    bounded(WAITING)
}

/// The same for a publisher that publishes one at a time and may abandon some.
pub(crate) fn private_channel() -> (Publisher, PublishQueue) {
    bounded(GIVEN_UP)
}

fn bounded(length: usize) -> (Publisher, PublishQueue) {
    let (queue, requests) = mpsc::channel(length);
    (Publisher { queue }, PublishQueue(requests))
}

impl Publisher {
    /// Free places in the queue.
    pub fn free(&self) -> usize {
        self.queue.capacity()
    }

    /// Notifies `channel`, and returns after the commit.
    ///
    /// # Errors
    /// See [`PublishError`]; after `Unavailable` it may have been committed.
    pub async fn publish(
        &self,
        channel: ChannelName,
        payload: Payload,
    ) -> Result<(), PublishError> {
        self.publish_guarded(channel, payload, None).await
    }

    /// As [`Self::publish`], with a guard for the time in the queue.
    ///
    /// # Errors
    /// As [`Self::publish`].
    pub async fn publish_guarded(
        &self,
        channel: ChannelName,
        payload: Payload,
        guard: Option<QueueGuard>,
    ) -> Result<(), PublishError> {
        let (reply, answer) = oneshot::channel();
        let request = PublishRequest {
            channel,
            payload,
            reply,
        };
        let queued = Queued {
            request,
            _guard: guard,
        };
        self.queue.try_send(queued).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => PublishError::TooMany,
            mpsc::error::TrySendError::Closed(_) => PublishError::Unavailable,
        })?;
        match timeout(TIME_LIMIT, answer).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) | Err(_) => Err(PublishError::Unavailable),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures_util::FutureExt;

    use super::*;

    /// Otherwise a client could fill the queue with requests that it abandons.
    #[tokio::test]
    async fn an_abandoned_request_keeps_its_guard_until_it_leaves_the_queue() {
        let (publisher, mut queue) = channel();
        let place = Arc::new(());
        let (channel, payload) = (
            ChannelName::new("a").unwrap(),
            Payload::new("x".into()).unwrap(),
        );
        let guard: QueueGuard = Box::new(Arc::clone(&place));
        let publishing = publisher.publish_guarded(channel, payload, Some(guard));
        assert!(publishing.now_or_never().is_none(), "queued, and abandoned");
        assert_eq!(Arc::strong_count(&place), 2);
        let request = queue.recv().await.unwrap();
        assert!(request.reply.is_closed());
        assert_eq!(Arc::strong_count(&place), 1);
        assert!(queue.try_recv().is_err());
    }
}
