//! gRPC: `pgfan.v1.GatewayService`, defined in `proto/pgfan/v1/pgfan.proto`.

mod calls;
mod cuts;
pub(crate) mod encoded;
mod error_details;
mod stream;
#[cfg(test)]
mod tests;

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures_util::{
    StreamExt,
    future::Either,
    stream::{Empty, empty},
};
use tokio::time::Instant;
use tokio_stream::Stream;
use tonic::{Request, Response, Status};

pub(super) use self::calls::{Calls, admitted, checked};
use super::{
    access::{
        admission::Admission,
        authorized::AuthorizedSubscription,
        expiry::{Expiry, expired, left},
        limits::Address,
    },
    connection::{
        http2::{SlowReaderCounter, StreamHandOver, TakesStream},
        keepalive::Keepalive,
    },
    protocol::{codes::Refusal, cursor::cursor},
};
use crate::{
    auth::{AuthError, Grant},
    event::{ChannelName, Event, Form, GapReason, WireName},
    hub::Delivery,
    proto::{self, subscribe_response::Message},
};
use encoded::Encoded;
use stream::Reader;

/// The generated service; its responses are bytes that were encoded once.
#[allow(missing_docs, unreachable_pub, clippy::all)]
mod server {
    include!(concat!(env!("OUT_DIR"), "/server/pgfan.v1.rs"));
}

pub(super) use server::gateway_service_server::{self, GatewayService};

/// Implementation of the service; see the proto file.
#[derive(Debug, Clone)]
pub(super) struct Grpc {
    admission: Admission,
}

impl Grpc {
    pub(super) fn new(admission: Admission) -> Self {
        Self { admission }
    }

    /// The grant of the token in the metadata, and the client's address. The token
    /// was checked before the message was read, which may have taken seconds, so
    /// the expiry is checked again.
    fn admit<T>(&self, request: &Request<T>) -> Result<(Arc<Grant>, Address), Refusal> {
        let grant: Option<&Arc<Grant>> = request.extensions().get();
        let grant = Arc::clone(grant.ok_or(AuthError::Required)?);
        if grant.expires().is_some_and(|at| left(at).is_zero()) {
            return Err(expired());
        }
        let grant = match self.admission.is_current(&grant) {
            true => grant,
            false => self.admission.reauthorize(&grant)?,
        };
        let metadata = request.metadata().as_ref();
        let address = self.admission.address(request.extensions(), metadata);
        Ok((grant, address))
    }

    fn reader(&self, request: Request<proto::SubscribeRequest>) -> Result<Deliveries, Refusal> {
        let (grant, address) = self.admit(&request)?;
        let request = request.into_inner();
        let heartbeat = request.heartbeat;
        if request.channels.is_empty() {
            return Err(Refusal::invalid("`channels` is empty"));
        }
        let cursor = cursor(request.cursor.as_bytes());
        let channels = &request.channels;
        let subscription =
            self.admission
                .subscribe(WireName::Grpc, &grant, address, channels, cursor)?;
        let mut deliveries = Deliveries::new(subscription, &grant);
        if heartbeat {
            let keepalive = self.admission.settings().keepalive;
            deliveries.heartbeat = Some(Keepalive::new(keepalive));
        }
        Ok(deliveries)
    }

    async fn published(&self, request: Request<proto::PublishRequest>) -> Result<(), Refusal> {
        let (grant, address) = self.admit(&request)?;
        let proto::PublishRequest { channel, payload } = request.into_inner();
        let channel = self.admission.publishable(&grant, address, &channel)?;
        self.admission
            .publish(&grant, address, channel, payload)
            .await
    }

    fn refuse(&self, refusal: Refusal) -> Status {
        self.admission.refused(refusal.code);
        refusal.into()
    }
}

#[tonic::async_trait]
impl GatewayService for Grpc {
    /// Empty if the stream is handed over.
    type SubscribeStream = Either<Deliveries, Empty<Result<Encoded, Status>>>;

    async fn subscribe(
        &self,
        request: Request<proto::SubscribeRequest>,
    ) -> Result<Response<Self::SubscribeStream>, Status> {
        let takes_stream = request.extensions().get::<TakesStream>().cloned();
        let deliveries = self.reader(request);
        let deliveries = deliveries.map_err(|refusal| self.refuse(refusal))?;
        let Some(TakesStream(stall)) = takes_stream else {
            let mut response = Response::new(Either::Left(deliveries));
            let of_reader = SlowReaderCounter(self.admission.clone());
            response.extensions_mut().insert(of_reader);
            return Ok(response);
        };
        let limit = self.admission.settings().write_timeout;
        let hand_over = StreamHandOver::to(move |stream| {
            Box::new(Reader::new(stream, deliveries, limit, stall)).run()
        });
        let mut response = Response::new(Either::Right(empty()));
        response.extensions_mut().insert(hand_over);
        Ok(response)
    }

    async fn publish(
        &self,
        request: Request<proto::PublishRequest>,
    ) -> Result<Response<proto::PublishResponse>, Status> {
        let published = self.published(request).await;
        published.map_err(|refusal| self.refuse(refusal))?;
        Ok(Response::new(proto::PublishResponse {}))
    }
}

/// A reader's deliveries as gRPC messages.
#[derive(Debug)]
pub(super) struct Deliveries {
    subscription: AuthorizedSubscription,
    expiry: Option<Expiry>,
    /// Set if the client asked for it.
    heartbeat: Option<Keepalive>,
    /// Deliveries since the last check of the expiry.
    given: u32,
}

/// Number of deliveries without a pause between two checks of the expiry.
const LOOK: u32 = 64;

impl Deliveries {
    fn new(subscription: AuthorizedSubscription, grant: &Grant) -> Self {
        Self {
            subscription,
            expiry: grant.expires().map(Expiry::new),
            heartbeat: None,
            given: 0,
        }
    }

    /// The status for a refusal, which is counted.
    fn end(&self, refusal: Refusal) -> Status {
        self.subscription.refused(refusal.code);
        refusal.into()
    }

    /// Checks the expiry while the stream is not idle.
    fn is_over(&mut self) -> bool {
        self.given = 0;
        let is_over = self.expiry.as_ref().is_some_and(Expiry::is_over);
        is_over && !self.lives_on()
    }

    /// Ready when the token has expired; wakes an idle stream.
    fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.given = 0;
        let Some(expiry) = &mut self.expiry else {
            return Poll::Pending;
        };
        ready!(expiry.poll_over(cx));
        match self.lives_on() {
            true => Poll::Pending,
            false => Poll::Ready(()),
        }
    }

    /// A heartbeat, if nothing was sent for a period.
    fn poll_heartbeat(&mut self, cx: &mut Context<'_>) -> Poll<Encoded> {
        let Some(idle) = &mut self.heartbeat else {
            return Poll::Pending;
        };
        ready!(idle.poll_due(cx));
        let cursor = self.subscription.cursor();
        let cursor = cursor.map(|id| id.to_string()).unwrap_or_default();
        Poll::Ready(encoded(Message::Heartbeat(proto::Heartbeat { cursor })))
    }

    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<Result<Encoded, Status>> {
        match self.poll_over(cx) {
            Poll::Ready(()) => Poll::Ready(Err(self.end(expired()))),
            Poll::Pending => self.poll_heartbeat(cx).map(Ok),
        }
    }

    /// Whether the token's expiry no longer applies; the timer is then removed.
    fn lives_on(&mut self) -> bool {
        let lives_on = !self.subscription.can_expire();
        if lives_on {
            self.expiry = None;
        }
        lives_on
    }
}

impl Stream for Deliveries {
    type Item = Result<Encoded, Status>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        this.given += 1;
        if this.given >= LOOK && this.is_over() {
            return Poll::Ready(Some(Err(this.end(expired()))));
        }
        match this.subscription.poll_next_unpin(cx) {
            Poll::Pending => this.poll_idle(cx).map(Some),
            Poll::Ready(item) => {
                if let Some(idle) = &mut this.heartbeat {
                    idle.touch(Instant::now());
                }
                Poll::Ready(item.map(|result| match result {
                    Ok(Delivery::Event(event)) => Ok(event_message(&event)),
                    Ok(other) => Ok(encoded(other.into())),
                    Err(refusal) => Err(this.end(refusal)),
                }))
            }
        }
    }
}

/// Encoded once for all readers.
fn event_message(event: &Arc<Event>) -> Encoded {
    Encoded::from_framed(Event::encoded(event, Form::Grpc, framed_event).clone())
}

fn framed_event(event: &Arc<Event>) -> Bytes {
    encoded(Message::Event((&**event).into())).framed().clone()
}

fn encoded(message: Message) -> Encoded {
    Encoded::of(&proto::SubscribeResponse {
        message: Some(message),
    })
}

impl From<Delivery> for Message {
    fn from(delivery: Delivery) -> Self {
        match delivery {
            Delivery::Ready { channels, cursor } => Self::Ready(proto::Ready {
                channels: channels.iter().map(name).collect(),
                cursor: cursor.to_string(),
            }),
            Delivery::Event(event) => Self::Event((&*event).into()),
            Delivery::Gap { id, reason } => Self::Gap(proto::Gap {
                id: id.to_string(),
                reason: proto::GapReason::from(reason).into(),
            }),
            Delivery::Interrupted { since } => Self::Interrupted(proto::Interrupted {
                since: Some(since.into()),
            }),
            Delivery::Live { cursor } => Self::Live(proto::Live {
                cursor: cursor.to_string(),
            }),
        }
    }
}

impl From<&Event> for proto::Event {
    fn from(event: &Event) -> Self {
        Self {
            id: event.id.to_string(),
            channel: name(&event.channel),
            payload: event.payload.to_string(),
            received_at: Some(event.received_at.into()),
        }
    }
}

impl From<GapReason> for proto::GapReason {
    fn from(reason: GapReason) -> Self {
        match reason {
            GapReason::SourceLost => Self::SourceLost,
            GapReason::UnknownCursor => Self::UnknownCursor,
            GapReason::CursorTooOld => Self::CursorTooOld,
            GapReason::SlowReader => Self::SlowReader,
            GapReason::Unreadable => Self::Unreadable,
        }
    }
}

fn name(channel: &ChannelName) -> String {
    channel.as_str().to_owned()
}
