//! WebSocket: `GET /v1/ws` (RFC 6455), JSON in both directions.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    sync::Arc,
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
    close::close,
    connection::{ConnectionEvent, Frame, Reader},
    first_frame,
    raw::{self, ClientFrames},
    socket::{WebSocket, frame, put_frame},
    upgrade::Upgrade,
};
use crate::{
    auth::{AuthError, Grant},
    event::{ChannelName, Form, WireName},
    hub::{Cursor, Delivery},
    transport::{
        access::{
            admission::{Admission, unreadable},
            authorized::AuthorizedSubscription,
            credentials::Credentials,
            limits::{Address, PoolPermit},
        },
        connection::{keepalive::Keepalive, takeover::ConnectionTask},
        delivery::{end::End, outbound::Wire},
        protocol::{
            codes::Refusal,
            cursor::cursor,
            json::{ClientMessage, ServerMessage},
            query::{Format, StreamQuery},
        },
    },
};

pub(in crate::transport) async fn ws(
    State(admission): State<Admission>,
    RawQuery(query): RawQuery,
    request: Request,
) -> Result<Response, Refusal> {
    let upgrade = match Upgrade::of(&request, &admission) {
        Ok(upgrade) => upgrade,
        Err(response) => return Ok(*response),
    };
    let query = StreamQuery::parse(query.as_deref())?;
    query.refuse_ticket()?;
    let credentials = admission.credentials(request.headers());
    let address = admission.address(request.extensions(), request.headers());
    drop(request);
    let cursor = query.cursor();
    let grant = match admission.admit(credentials, address).await {
        Err(AuthError::Required) if query.format == Format::Json => {
            let place = admission.place_for_unknown(address)?;
            let asked = (address, query.channels, cursor);
            return Ok(upgrade.accept(|socket| {
                ConnectionTask::by(admit_later(socket, place, admission, asked))
            }));
        }
        grant => grant?,
    };
    let channels = &query.channels;
    let subscription =
        admission.subscribe(WireName::WebSocket, &grant, address, channels, cursor)?;
    if query.format == Format::Raw {
        let frames = ClientFrames::Refused;
        return raw::upgrade(upgrade, subscription, &grant, &admission, frames).await;
    }
    Ok(upgrade.accept(|socket| {
        ConnectionTask::by(Box::new(Connection::new(socket, subscription, admission)).run())
    }))
}

/// Authenticates with the token of the first frame, then subscribes as the URL
/// asked.
async fn admit_later(
    mut socket: WebSocket,
    place: PoolPermit,
    admission: Admission,
    (address, channels, cursor): (Address, Vec<String>, Option<Cursor>),
) {
    let admitted = async {
        let grant = first_frame::admit(&mut socket, &admission, address).await?;
        let wire = WireName::WebSocket;
        let subscription = admission.subscribe(wire, &grant, address, &channels, cursor);
        subscription.map_err(End::Refused)
    };
    let admitted = Box::pin(admitted).await;
    drop(place);
    match admitted {
        Ok(subscription) => {
            Box::new(Connection::new(socket, subscription, admission))
                .run()
                .await;
        }
        Err(end) => {
            end.code().inspect(|code| admission.refused(*code));
            Box::pin(close(socket, end)).await;
        }
    }
}

/// A request of the client in progress.
type Doing = Pin<Box<dyn Future<Output = Done> + Send>>;

enum Done {
    /// With the client's reference; after the commit.
    Published(Option<String>, Result<(), Refusal>),
    /// The client sent another token.
    Admitted(Result<Arc<Grant>, AuthError>),
}

struct Connection {
    reader: Reader,
    admission: Admission,
    /// One at a time: the client's next frame is read after the answer.
    doing: Option<Doing>,
}

/// Next step of a connection.
enum Next {
    Answer(Done),
    ConnectionEvent(ConnectionEvent),
    /// Channels whose permission was withdrawn.
    GiveUp(Vec<ChannelName>),
}

impl Connection {
    fn new(socket: WebSocket, subscription: AuthorizedSubscription, admission: Admission) -> Self {
        let mut idle = Keepalive::answered_with(&admission.settings());
        idle.expire(subscription.grant().expires());
        Self {
            reader: Reader::new(socket, subscription.giving_up(), idle, &WIRE),
            admission,
            doing: None,
        }
    }

    /// Boxed, so that the idle task is small.
    async fn run(mut self: Box<Self>) {
        let end = loop {
            match poll_fn(|cx| self.poll_next(cx)).await {
                Next::ConnectionEvent(ConnectionEvent::Delivered(Ok(()))) => {}
                Next::ConnectionEvent(ConnectionEvent::Delivered(Err(end))) => break end,
                // Boxed, so that an idle reader does not reserve its room.
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
        self.reader.outbound.reclaim();
        if !self.reader.outbound.is_writing() {
            let revoked = self.reader.outbound.subscription.revoked();
            if !revoked.is_empty() {
                return Poll::Ready(Next::GiveUp(revoked));
            }
        }
        if let Some(doing) = &mut self.doing
            && !self.reader.outbound.is_writing()
            && let Poll::Ready(done) = doing.as_mut().poll(cx)
        {
            return Poll::Ready(Next::Answer(done));
        }
        let listens = self.doing.is_none();
        self.reader
            .poll_turn(cx, listens)
            .map(Next::ConnectionEvent)
    }

    async fn follow_up(&mut self, next: Next) -> Result<(), End> {
        match next {
            Next::Answer(done) => {
                self.doing = None;
                match done {
                    Done::Published(reference, result) => {
                        self.answer(reference.as_deref(), result).await
                    }
                    Done::Admitted(Ok(grant)) => self.go_on_with(grant).await,
                    Done::Admitted(Err(error)) => self.refuse(&error.into(), None).await,
                }
            }
            Next::GiveUp(names) => self.revoke(&names).await,
            Next::ConnectionEvent(ConnectionEvent::Read(frame)) => self.read(frame).await,
            Next::ConnectionEvent(ConnectionEvent::Ping) => self.ping().await,
            Next::ConnectionEvent(ConnectionEvent::Delivered(delivered)) => delivered,
        }
    }

    /// The payload is the newest cursor.
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
                self.refuse(&refusal, None).await
            }
            Some(Ok(Message::Ping(_))) => self.reader.socket.flush().await,
            Some(Ok(Message::Pong(_) | Message::Frame(_))) => Ok(()),
            Some(Ok(Message::Close(_))) | None => Err(End::ByClient),
            Some(Err(end)) => Err(end),
        }
    }

    async fn follow(&mut self, text: &str) -> Result<(), End> {
        let followed = match parse(text) {
            Ok(ClientMessage::Subscribe { channels, cursor }) => self.join(&channels, &cursor),
            Ok(ClientMessage::Unsubscribe { channels }) => {
                return match self.part(&channels) {
                    Ok(names) => self.say(&ServerMessage::unsubscribed(&names)).await,
                    Err(refusal) => self.refuse(&refusal, None).await,
                };
            }
            Ok(ClientMessage::Auth { token }) => {
                self.admit(token);
                Ok(())
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
            Err(refusal) => self.refuse(&refusal, None).await,
        }
    }

    /// Answered by a `ready` when the channels are subscribed.
    fn join(&mut self, channels: &[String], handed_in: &Value) -> Result<(), Refusal> {
        if channels.is_empty() {
            return Err(Refusal::invalid("`channels` is empty"));
        }
        let names = self.admission.joinable(self.grant(), channels)?;
        let cursor = match handed_in {
            Value::Null => None,
            Value::String(text) => cursor(text.as_bytes()),
            _ => Some(Cursor::Invalid),
        };
        self.reader.outbound.subscription.join(&names, cursor)
    }

    fn part(&mut self, channels: &[String]) -> Result<Vec<ChannelName>, Refusal> {
        let names = channels.iter().map(|name| ChannelName::new(name));
        let names: Vec<_> = names.collect::<Result<_, _>>()?;
        self.reader.outbound.subscription.unsubscribe(&names);
        Ok(names)
    }

    fn publish(&mut self, channel: String, payload: String, reference: Option<String>) {
        let (admission, grant) = (self.admission.clone(), Arc::clone(self.grant()));
        let address = self.reader.outbound.subscription.address();
        self.doing = Some(Box::pin(async move {
            let result = match admission.publishable(&grant, address, &channel) {
                Ok(channel) => admission.publish(&grant, address, channel, payload).await,
                Err(refusal) => Err(refusal),
            };
            Done::Published(reference, result)
        }));
    }

    fn admit(&mut self, token: String) {
        let admission = self.admission.clone();
        let address = self.reader.outbound.subscription.address();
        self.doing = Some(Box::pin(async move {
            Done::Admitted(admission.admit(Credentials::Token(token), address).await)
        }));
    }

    /// Replaces the grant. Channels that the new one does not allow are left, and
    /// the client is informed.
    async fn go_on_with(&mut self, grant: Arc<Grant>) -> Result<(), End> {
        let outbound = &mut self.reader.outbound;
        let expires = grant.expires();
        if let Err(refusal) = outbound.subscription.change(grant) {
            return self.refuse(&refusal, None).await;
        }
        outbound.idle.expire(expires);
        let mut names = outbound.subscription.channels();
        names.retain(|name| !self.grant().may_subscribe(name));
        self.revoke(&names).await?;
        let grant = Arc::clone(self.grant());
        self.say(&ServerMessage::authenticated(&grant)).await
    }

    async fn revoke(&mut self, names: &[ChannelName]) -> Result<(), End> {
        if names.is_empty() {
            return Ok(());
        }
        self.reader.outbound.subscription.unsubscribe(names);
        self.say(&ServerMessage::unsubscribed(names)).await?;
        let texts: Vec<_> = names.iter().map(ChannelName::as_str).collect();
        self.refuse(&unreadable(&texts), None).await
    }

    fn grant(&self) -> &Arc<Grant> {
        self.reader.outbound.subscription.grant()
    }

    async fn answer(
        &mut self,
        reference: Option<&str>,
        result: Result<(), Refusal>,
    ) -> Result<(), End> {
        match result {
            Ok(()) => self.say(&ServerMessage::Published { reference }).await,
            Err(refusal) => self.refuse(&refusal, reference).await,
        }
    }

    /// The stream goes on.
    async fn refuse(&mut self, refusal: &Refusal, reference: Option<&str>) -> Result<(), End> {
        self.admission.refused(refusal.code);
        self.say(&ServerMessage::error(refusal, reference)).await
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
        put_frame(json(&item.map_err(End::Refused)?), out);
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
