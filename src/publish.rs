//! The way back: a reader's wish to notify, on its way to the source's
//! publishing session. Neither end knows the other.

use std::time::Duration;

use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};

use crate::event::{ChannelName, Payload};

/// Requests waiting for the publishing session: at 8 KB each at most 8 MiB.
/// At the limit a publisher is told `too_many`, it never waits.
const QUEUE: usize = 1024;

/// Requests that nobody waits for any more are skipped; so many may stand
/// before one that counts. At the limit it is told `too_many`, and tried again.
const GIVEN_UP: usize = 4;

/// How long one publish may take. Longer than a commit that waits for a slow
/// disk, shorter than a client's patience.
pub(crate) const TIME_LIMIT: Duration = Duration::from_secs(10);

/// Why a notification was not, or perhaps not, committed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// The queue is full.
    #[error("too many publishes are waiting")]
    TooMany,
    /// No answer from PostgreSQL. Whether it committed is unknown.
    #[error("the database did not confirm the notification")]
    Unavailable,
    /// PostgreSQL cannot hold this channel or payload, in its encoding.
    #[error("the database's encoding cannot hold this channel or payload")]
    Unrepresentable,
}

/// One notification to be committed in a transaction of its own: PostgreSQL
/// merges equal ones of the same transaction.
#[derive(Debug)]
pub struct PublishRequest {
    /// Where to.
    pub channel: ChannelName,
    /// What.
    pub payload: Payload,
    /// Told after the commit.
    pub reply: oneshot::Sender<Result<(), PublishError>>,
}

/// Hands notifications to the publishing session. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Publisher {
    queue: mpsc::Sender<PublishRequest>,
}

/// What the publishing session takes its work from.
pub type PublishQueue = mpsc::Receiver<PublishRequest>;

/// The two ends of one bounded queue, for all who publish.
pub fn channel() -> (Publisher, PublishQueue) {
    bounded(QUEUE)
}

/// The same for one who publishes one at a time, and may have given some up.
pub(crate) fn private_channel() -> (Publisher, PublishQueue) {
    bounded(GIVEN_UP)
}

fn bounded(length: usize) -> (Publisher, PublishQueue) {
    let (queue, requests) = mpsc::channel(length);
    (Publisher { queue }, requests)
}

impl Publisher {
    /// Notifies `channel`, and returns after the commit.
    ///
    /// # Errors
    /// See [`PublishError`]; after `Unavailable` it may have been committed.
    pub async fn publish(
        &self,
        channel: ChannelName,
        payload: Payload,
    ) -> Result<(), PublishError> {
        let (reply, answer) = oneshot::channel();
        let request = PublishRequest {
            channel,
            payload,
            reply,
        };
        self.queue.try_send(request).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => PublishError::TooMany,
            mpsc::error::TrySendError::Closed(_) => PublishError::Unavailable,
        })?;
        match timeout(TIME_LIMIT, answer).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) | Err(_) => Err(PublishError::Unavailable),
        }
    }
}
