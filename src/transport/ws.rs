//! WebSocket: `GET /v1/ws` (RFC 6455), JSON in both directions.

use std::{future::Future, pin::Pin};

use axum::{
    extract::{
        RawQuery, State,
        ws::{Message, WebSocket},
    },
    response::Response,
};
use futures_util::{FutureExt, SinkExt, StreamExt};
use serde_json::Value;
use tokio::select;

use super::{
    admission::{Admission, cursor},
    close::{End, close},
    codes::Refusal,
    idle::{Due, Idle},
    json::{ClientMessage, ServerMessage},
    query::{Format, StreamQuery},
    raw::{self, ClientFrames},
    upgrade::{Upgrade, WRITES, configure},
};
use crate::{
    event::ChannelName,
    hub::{Cursor, Delivery, Ended, Subscription},
};

pub(super) async fn ws(
    State(admission): State<Admission>,
    RawQuery(query): RawQuery,
    upgrade: Upgrade,
) -> Result<Response, Refusal> {
    let upgrade = match configure(upgrade, &admission) {
        Ok(upgrade) => upgrade,
        Err(response) => return Ok(*response),
    };
    let query = StreamQuery::parse(query.as_deref())?;
    let handed_in = query.cursor.as_deref().unwrap_or_default();
    let subscription = admission.subscribe(&query.channels, cursor(handed_in))?;
    if query.format == Format::Raw {
        return raw::upgrade(upgrade, subscription, &admission, ClientFrames::Refused).await;
    }
    let tasks = admission.tasks();
    Ok(upgrade.on_upgrade(move |socket| {
        tasks.track_future(async move {
            let (socket, end) = Connection::new(socket, subscription, admission).run().await;
            close(socket, end).await;
        })
    }))
}

/// What a subscription yields.
type Item = Result<Delivery, Ended>;

/// A publish that waits for its commit, and the client's name for it.
type Publishing = Pin<Box<dyn Future<Output = (Option<String>, Result<(), Refusal>)> + Send>>;

struct Connection {
    socket: WebSocket,
    subscription: Subscription,
    admission: Admission,
    idle: Idle,
    /// One at a time: the client's next frame is read after the answer.
    publishing: Option<Publishing>,
}

impl Connection {
    fn new(socket: WebSocket, subscription: Subscription, admission: Admission) -> Self {
        let idle = admission.settings().answered_idle();
        Self {
            socket,
            subscription,
            admission,
            idle,
            publishing: None,
        }
    }

    /// Returns the socket alone: the reader has left when it is closed.
    async fn run(mut self) -> (WebSocket, End) {
        loop {
            if let Err(end) = self.turn().await {
                return (self.socket, end);
            }
        }
    }

    async fn turn(&mut self) -> Result<(), End> {
        let reads = self.publishing.is_none();
        select! {
            delivery = self.subscription.next() => self.write(delivery).await?,
            frame = self.socket.recv(), if reads => self.read(frame).await?,
            (reference, result) = answer(&mut self.publishing) => {
                self.publishing = None;
                self.answer(reference.as_deref(), result).await?;
            }
            due = self.idle.due(), if reads => match due {
                Due::Sign => self.ping().await?,
                Due::Gone => self.read_last().await?,
            },
        }
        Ok(())
    }

    /// Writes `first` and what else is there already, then flushes once: a
    /// limited number, so that a busy reader is still listened to.
    async fn write(&mut self, first: Option<Item>) -> Result<(), End> {
        self.put(first).await?;
        for _ in 1..WRITES {
            match self.subscription.next().now_or_never() {
                Some(next) => self.put(next).await?,
                None => break,
            }
        }
        self.idle.touch();
        Ok(self.socket.flush().await?)
    }

    async fn put(&mut self, item: Option<Item>) -> Result<(), End> {
        match item {
            Some(Ok(delivery)) => {
                let text = ServerMessage::from(&delivery).encode();
                Ok(self.socket.feed(Message::Text(text.into())).await?)
            }
            Some(Err(ended)) => Err(End::Refused(ended.into())),
            None => Err(End::ByClient),
        }
    }

    async fn ping(&mut self) -> Result<(), End> {
        let cursor = self.subscription.cursor();
        let text = cursor.map(|id| id.to_string()).unwrap_or_default();
        Ok(self.socket.send(Message::Ping(text.into())).await?)
    }

    /// The process may have slept: what waits in the socket counts first.
    async fn read_last(&mut self) -> Result<(), End> {
        match self.socket.recv().now_or_never() {
            Some(frame) => self.read(frame).await,
            None => Err(End::unanswered()),
        }
    }

    async fn read(&mut self, frame: Option<Result<Message, axum::Error>>) -> Result<(), End> {
        self.idle.heard();
        match frame {
            Some(Ok(Message::Text(text))) => self.follow(&text).await,
            Some(Ok(Message::Binary(_))) => {
                let refusal = Refusal::invalid("a binary frame; this wire speaks JSON in text");
                self.say(&ServerMessage::error(&refusal, None)).await
            }
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => Ok(()),
            Some(Ok(Message::Close(_))) | None => Err(End::ByClient),
            Some(Err(error)) => Err(error.into()),
        }
    }

    async fn follow(&mut self, text: &str) -> Result<(), End> {
        let followed = match parse(text) {
            Ok(ClientMessage::Subscribe { channels, cursor }) => self.join(&channels, &cursor),
            Ok(ClientMessage::Unsubscribe { channels }) => {
                return match self.part(&channels) {
                    Ok(names) => self.say(&ServerMessage::unsubscribed(&names)).await,
                    Err(refusal) => self.say(&ServerMessage::error(&refusal, None)).await,
                };
            }
            Ok(ClientMessage::Publish {
                channel,
                payload,
                reference,
            }) => {
                self.publish(channel, payload, reference);
                Ok(())
            }
            Err(refusal) => Err(refusal),
        };
        match followed {
            Ok(()) => Ok(()),
            Err(refusal) => self.say(&ServerMessage::error(&refusal, None)).await,
        }
    }

    /// Answered by a `ready`, when it is so.
    fn join(&mut self, channels: &[String], handed_in: &Value) -> Result<(), Refusal> {
        if channels.is_empty() {
            return Err(Refusal::invalid("`channels` is empty"));
        }
        let names = self.admission.readable(channels)?;
        let cursor = match handed_in {
            Value::Null => None,
            Value::String(text) => cursor(text.as_bytes()),
            _ => Some(Cursor::Strange),
        };
        Ok(self.subscription.join(&names, cursor)?)
    }

    fn part(&mut self, channels: &[String]) -> Result<Vec<ChannelName>, Refusal> {
        let names = channels.iter().map(|name| ChannelName::new(name));
        let names: Vec<_> = names.collect::<Result<_, _>>()?;
        self.subscription.part(&names);
        Ok(names)
    }

    fn publish(&mut self, channel: String, payload: String, reference: Option<String>) {
        let admission = self.admission.clone();
        self.publishing = Some(Box::pin(async move {
            let result = match admission.publishable(&channel) {
                Ok(channel) => admission.publish(channel, payload).await,
                Err(refusal) => Err(refusal),
            };
            (reference, result)
        }));
    }

    async fn answer(
        &mut self,
        reference: Option<&str>,
        result: Result<(), Refusal>,
    ) -> Result<(), End> {
        match result {
            Ok(()) => self.say(&ServerMessage::Published { reference }).await,
            Err(refusal) => self.say(&ServerMessage::error(&refusal, reference)).await,
        }
    }

    async fn say(&mut self, message: &ServerMessage<'_>) -> Result<(), End> {
        let text = message.encode();
        self.idle.touch();
        Ok(self.socket.send(Message::Text(text.into())).await?)
    }
}

/// Waits for ever when nothing is being published.
async fn answer(publishing: &mut Option<Publishing>) -> (Option<String>, Result<(), Refusal>) {
    match publishing {
        Some(publishing) => publishing.await,
        None => std::future::pending().await,
    }
}

fn parse(text: &str) -> Result<ClientMessage, Refusal> {
    serde_json::from_str(text)
        .map_err(|error| Refusal::invalid(format!("not a client message: {error}")))
}
