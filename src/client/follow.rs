//! An endless reader: it reconnects, and resumes each time after the last message.

use std::{pin::Pin, time::Duration};

use async_stream::try_stream;
use futures_util::StreamExt;
use tokio::time::{Instant, sleep};
use tokio_stream::Stream;

use super::{Gateway, Message, ReadOptions, StreamItem, Wire, ended::Ended, grpc, sse, web_socket};
use crate::backoff::Backoff;

/// Event of an endless reader.
#[derive(Debug)]
pub enum FollowEvent {
    /// A message of the gateway.
    Message(Message),
    /// The connection is lost, and will be retried after a pause; nothing is missed
    /// unless a gap follows.
    Away {
        /// Reason of the end.
        ended: Ended,
        /// Whether the connection had been `ready`: state that was current until
        /// now may become stale.
        was_ready: bool,
        /// Pause before the next attempt.
        pause: Duration,
    },
}

type Connection = Pin<Box<dyn Stream<Item = Result<StreamItem, Ended>> + Send>>;

/// Reads until an error: a permanent refusal by the gateway, or no answer from the
/// beginning, which more often means a wrong address than a gateway that starts
/// later. A token that was accepted once may be renewed: after it is refused there
/// is one more attempt.
pub fn follow(
    gateway: Gateway,
    mut reading: ReadOptions,
) -> impl Stream<Item = Result<FollowEvent, Ended>> + Send {
    try_stream! {
        let mut backoff = Backoff::default();
        let mut has_answered = false;
        loop {
            let mut connection = open(&gateway, &reading);
            let mut ready_since = None;
            let ended = loop {
                match connection.next().await {
                    Some(Ok(StreamItem::Message(message))) => {
                        go_on_from(&mut reading, message.cursor().unwrap_or_default());
                        // Missed messages come before `ready`.
                        if let Message::Ready { .. } = message {
                            ready_since.get_or_insert_with(Instant::now);
                        }
                        yield FollowEvent::Message(message);
                    }
                    Some(Ok(StreamItem::Nothing)) => {}
                    Some(Err(ended)) => break ended,
                    None => break Ended::disconnected("the stream ended"),
                }
            };
            drop(connection);
            let may_be_renewed = ended.code == "unauthenticated" && ready_since.is_some();
            has_answered |= ready_since.is_some() || !ended.is_silence;
            if !has_answered || ended.is_for_good() && !may_be_renewed {
                Err(ended.clone())?;
            }
            // A gateway that soon drops its connections is failing: no reset.
            if ready_since.is_some_and(|since| since.elapsed() >= Backoff::MAX) {
                backoff.reset();
            }
            let pause = backoff.next(fastrand::f64()).max(ended.retry_after.unwrap_or_default());
            let pause = pause.min(Backoff::MAX);
            yield FollowEvent::Away { ended, was_ready: ready_since.is_some(), pause };
            sleep(pause).await;
        }
    }
}

/// An empty cursor is ignored: resuming from it would lose the messages in between.
fn go_on_from(reading: &mut ReadOptions, cursor: &str) {
    if !cursor.is_empty() {
        cursor.clone_into(&mut reading.cursor);
    }
}

fn open(gateway: &Gateway, reading: &ReadOptions) -> Connection {
    let (gateway, reading) = (gateway.clone(), reading.clone());
    match reading.wire {
        Wire::WebSocket => Box::pin(web_socket::read(gateway, reading)),
        Wire::Sse => Box::pin(sse::read(gateway, reading)),
        Wire::Grpc => Box::pin(grpc::read(gateway, reading)),
    }
}
