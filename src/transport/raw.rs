//! WebSockets that carry the payload and nothing else: `format=raw` and the
//! PGCacheWatch wire. The 101 is their `ready`, and a closed socket their
//! `gap` and `interrupted`: nothing else can be said on them.

use axum::{
    extract::{
        WebSocketUpgrade,
        ws::{Message, WebSocket},
    },
    response::Response,
};
use futures_util::{FutureExt, SinkExt, StreamExt};
use tokio::select;

use super::{
    admission::Admission,
    close::{End, close},
    codes::{Code, Refusal},
    idle::{Due, Idle},
    upgrade::WRITES,
};
use crate::hub::{Delivery, Ended, Subscription};

/// What becomes of the client's text and binary frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ClientFrames {
    /// As the original of the PGCacheWatch wire does.
    Ignored,
    /// A request that cannot be answered must not look as if it was granted.
    Refused,
}

/// Answers the request once the subscription is ready, or with its refusal.
pub(super) async fn upgrade(
    upgrade: WebSocketUpgrade,
    mut subscription: Subscription,
    admission: &Admission,
    frames: ClientFrames,
) -> Result<Response, Refusal> {
    match subscription.next().await {
        Some(Ok(_ready)) => {}
        Some(Err(ended)) => return Err(ended.into()),
        None => return Err(Refusal::from(Ended::ShuttingDown)),
    }
    let idle = admission.settings().answered_idle();
    let tasks = admission.tasks();
    Ok(upgrade.on_upgrade(move |mut socket| {
        tasks.track_future(async move {
            let end = run(&mut socket, &mut subscription, idle, frames).await;
            drop(subscription);
            close(socket, end).await;
        })
    }))
}

async fn run(
    socket: &mut WebSocket,
    subscription: &mut Subscription,
    mut idle: Idle,
    frames: ClientFrames,
) -> End {
    loop {
        let turn = select! {
            delivery = subscription.next() => {
                idle.touch();
                write(socket, subscription, delivery).await
            }
            frame = socket.recv() => read(frame, frames, &mut idle),
            due = idle.due() => match due {
                Due::Sign => socket.send(Message::Ping("".into())).await.map_err(End::from),
                // The process may have slept: what waits in the socket counts first.
                Due::Gone => match socket.recv().now_or_never() {
                    Some(frame) => read(frame, frames, &mut idle),
                    None => Err(End::unanswered()),
                },
            },
        };
        if let Err(end) = turn {
            return end;
        }
    }
}

/// As on the JSON wire, a limited number in one turn.
async fn write(
    socket: &mut WebSocket,
    subscription: &mut Subscription,
    first: Option<Result<Delivery, Ended>>,
) -> Result<(), End> {
    put(socket, first).await?;
    for _ in 1..WRITES {
        match subscription.next().now_or_never() {
            Some(next) => put(socket, next).await?,
            None => break,
        }
    }
    Ok(socket.flush().await?)
}

async fn put(socket: &mut WebSocket, item: Option<Result<Delivery, Ended>>) -> Result<(), End> {
    match item {
        Some(Ok(Delivery::Event(event))) => {
            Ok(socket.feed(Message::Text((&*event.payload).into())).await?)
        }
        Some(Ok(other)) => Err(End::Refused(told_by_closing(&other))),
        Some(Err(ended)) => Err(End::Refused(ended.into())),
        None => Err(End::ByClient),
    }
}

fn told_by_closing(delivery: &Delivery) -> Refusal {
    let message = match delivery {
        Delivery::Gap { reason, .. } => format!("gap ({})", reason.as_str()),
        _ => "the source is lost".to_owned(),
    };
    Refusal::new(Code::Interrupted, message)
}

fn read(
    frame: Option<Result<Message, axum::Error>>,
    frames: ClientFrames,
    idle: &mut Idle,
) -> Result<(), End> {
    idle.heard();
    match frame {
        Some(Ok(Message::Text(_) | Message::Binary(_))) if frames == ClientFrames::Refused => {
            Err(End::Refused(Refusal::invalid(
                "a raw stream takes no frames of the client",
            )))
        }
        Some(Ok(Message::Close(_))) | None => Err(End::ByClient),
        Some(Ok(_)) => Ok(()),
        Some(Err(error)) => Err(error.into()),
    }
}
