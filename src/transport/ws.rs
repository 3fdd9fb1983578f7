//! WebSocket: `GET /v1/ws` (RFC 6455), JSON in both directions.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    task::{Context, Poll},
};

use axum::{
    extract::{RawQuery, Request, State},
    response::Response,
};
use serde_json::Value;
use tokio::time::Instant;
use tungstenite::Message;

use super::{
    admission::{Admission, cursor},
    close::End,
    codes::Refusal,
    hand_over::Serving,
    json::{ClientMessage, ServerMessage},
    outbound::Wire,
    query::{Format, StreamQuery},
    raw::{self, ClientFrames},
    turn::{Frame, Reader, Turn},
    upgrade::Upgrade,
    web_socket::{WebSocket, frame, put_frame},
};
use crate::{
    event::{ChannelName, Form},
    hub::{Cursor, Delivery, Subscription},
};

pub(super) async fn ws(
    State(admission): State<Admission>,
    RawQuery(query): RawQuery,
    request: Request,
) -> Result<Response, Refusal> {
    let upgrade = match Upgrade::of(&request, &admission) {
        Ok(upgrade) => upgrade,
        Err(response) => return Ok(*response),
    };
    let query = StreamQuery::parse(query.as_deref())?;
    let handed_in = query.cursor.as_deref().unwrap_or_default();
    let subscription = admission.subscribe(&query.channels, cursor(handed_in))?;
    if query.format == Format::Raw {
        return raw::upgrade(upgrade, subscription, &admission, ClientFrames::Refused).await;
    }
    Ok(upgrade.accept(|socket| {
        Serving::by(Box::new(Connection::new(socket, subscription, admission)).run())
    }))
}

/// A publish that waits for its commit, and the client's name for it.
type Publishing = Pin<Box<dyn Future<Output = (Option<String>, Result<(), Refusal>)> + Send>>;

struct Connection {
    reader: Reader,
    admission: Admission,
    /// One at a time: the client's next frame is read after the answer.
    publishing: Option<Publishing>,
}

/// What a connection does next.
enum Next {
    Answer(Option<String>, Result<(), Refusal>),
    Turn(Turn),
}

impl Connection {
    fn new(socket: WebSocket, subscription: Subscription, admission: Admission) -> Self {
        let idle = admission.settings().answered_idle();
        Self {
            reader: Reader::new(socket, subscription, idle, &WIRE),
            admission,
            publishing: None,
        }
    }

    /// Boxed, so that the task that waits is small.
    async fn run(mut self: Box<Self>) {
        let end = loop {
            match poll_fn(|cx| self.poll_next(cx)).await {
                Next::Turn(Turn::Delivered(Ok(()))) => {}
                Next::Turn(Turn::Delivered(Err(end))) => break end,
                // Boxed, since a reader that waits has no need of its room.
                next => {
                    if let Err(end) = Box::pin(self.follow_up(next)).await {
                        break end;
                    }
                }
            }
        };
        self.reader.leave(end).await;
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Next> {
        self.reader.outbound.rise();
        if let Some(publishing) = &mut self.publishing
            && !self.reader.outbound.is_writing()
            && let Poll::Ready((reference, result)) = publishing.as_mut().poll(cx)
        {
            return Poll::Ready(Next::Answer(reference, result));
        }
        let listens = self.publishing.is_none();
        self.reader.poll_turn(cx, listens).map(Next::Turn)
    }

    async fn follow_up(&mut self, next: Next) -> Result<(), End> {
        match next {
            Next::Answer(reference, result) => {
                self.publishing = None;
                self.answer(reference.as_deref(), result).await
            }
            Next::Turn(Turn::Read(frame)) => self.read(frame).await,
            Next::Turn(Turn::Ping) => self.ping().await,
            Next::Turn(Turn::Delivered(delivered)) => delivered,
        }
    }

    /// It carries the newest cursor.
    async fn ping(&mut self) -> Result<(), End> {
        let cursor = self.reader.outbound.subscription.cursor();
        let text = cursor.map(|id| id.to_string()).unwrap_or_default();
        self.reader.socket.send(Message::Ping(text.into())).await
    }

    async fn read(&mut self, frame: Frame) -> Result<(), End> {
        self.reader.outbound.idle.heard();
        match frame {
            Some(Ok(Message::Text(text))) => self.follow(&text).await,
            Some(Ok(Message::Binary(_))) => {
                let refusal = Refusal::invalid("a binary frame; this wire speaks JSON in text");
                self.say(&ServerMessage::error(&refusal, None)).await
            }
            Some(Ok(Message::Ping(_))) => self.reader.socket.flush().await,
            Some(Ok(Message::Pong(_) | Message::Frame(_))) => Ok(()),
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
        Ok(self.reader.outbound.subscription.join(&names, cursor)?)
    }

    fn part(&mut self, channels: &[String]) -> Result<Vec<ChannelName>, Refusal> {
        let names = channels.iter().map(|name| ChannelName::new(name));
        let names: Vec<_> = names.collect::<Result<_, _>>()?;
        self.reader.outbound.subscription.part(&names);
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
        self.reader.outbound.idle.touch(Instant::now());
        self.reader.socket.send(Message::Text(text.into())).await
    }
}

const WIRE: Wire = Wire {
    form: Form::WebSocket,
    encode: |event| frame(json(&Delivery::Event(event.clone()))).into(),
    put: |item, out| {
        put_frame(
            json(&item.map_err(|ended| End::Refused(ended.into()))?),
            out,
        );
        Ok(())
    },
};

fn json(delivery: &Delivery) -> String {
    ServerMessage::from(delivery).encode()
}

fn parse(text: &str) -> Result<ClientMessage, Refusal> {
    serde_json::from_str(text)
        .map_err(|error| Refusal::invalid(format!("not a client message: {error}")))
}
