//! A reader for ever: one connection after the other, each from where the last
//! one ended.

use std::{pin::Pin, time::Duration};

use async_stream::try_stream;
use futures_util::StreamExt;
use tokio::time::{Instant, sleep};
use tokio_stream::Stream;

use super::{Gateway, Message, ReadOptions, StreamItem, Wire, ended::Ended, grpc, sse, web_socket};
use crate::backoff::Backoff;

/// What a reader hears.
#[derive(Debug)]
pub enum FollowEvent {
    /// The gateway said it.
    Message(Message),
    /// The connection is lost, and tried again after a pause; nothing is missed
    /// unless a gap says so.
    Away {
        /// Why.
        ended: Ended,
        /// Whether there had been a `ready` on it: what was not heard for a
        /// moment may go stale.
        was_ready: bool,
        /// How long.
        pause: Duration,
    },
}

type Connection = Pin<Box<dyn Stream<Item = Result<StreamItem, Ended>> + Send>>;

/// Reads until the gateway refuses for good, or nobody answers from the first,
/// which is more often a wrong address than a gateway that comes later: these
/// are the errors. A token that was good once may be renewed: with one that no
/// longer is, it is tried once more.
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
                        // What it had missed comes before that.
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
            // A gateway that lets everybody in and out again is not well.
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

/// Never from an empty cursor: that would miss what came in between.
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
