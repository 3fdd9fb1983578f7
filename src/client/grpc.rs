//! Reading over gRPC.

use std::time::SystemTime;

use async_stream::try_stream;
use http::{Uri, header};
use humantime::format_rfc3339_micros;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use prost_types::Timestamp;
use tokio::time::timeout;
use tokio_stream::Stream;
use tokio_util::task::AbortOnDropHandle;
use tonic::Request;
use tower::service_fn;

use super::{
    Gateway, ReadOptions, StreamItem, dial::dial, ended::Ended, message::Message, request::answered,
};
use crate::proto::{
    SubscribeRequest, SubscribeResponse, gateway_service_client::GatewayServiceClient,
    subscribe_response::Message as Response,
};

/// Reads one connection to its end. HTTP/2 pings show that the next hop is alive,
/// and heartbeats that the gateway is.
pub(super) fn read(
    gateway: Gateway,
    reading: ReadOptions,
) -> impl Stream<Item = Result<StreamItem, Ended>> + Send {
    try_stream! {
        let carrier = TokioIo::new(dial(&gateway.address, "h2").await?);
        let handshake = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .keep_alive_interval(reading.keepalive)
            .keep_alive_timeout(reading.keepalive)
            .keep_alive_while_idle(true)
            .handshake(carrier);
        let strange = |error| Ended::no_answer(&gateway.address, error);
        let (sender, connection) = handshake.await.map_err(strange)?;
        let mut connection = AbortOnDropHandle::new(tokio::spawn(async {
            // The stream notices its end.
            let _ = connection.await;
        }));
        let service = service_fn(move |request| sender.clone().send_request(request));
        let origin = origin(&gateway)?;
        let mut client = GatewayServiceClient::with_origin(service, origin);
        let subscribing = client.subscribe(request(&gateway, &reading)?);
        let subscribed = answered(&gateway.address, subscribing, &mut connection).await?;
        let ended = |status| Ended::from_grpc(&gateway.address, &status);
        let subscribed = subscribed.map_err(|status| match ended(status) {
            ended if ended.is_silence => Ended::no_answer(&gateway.address, ended.message),
            ended => ended,
        });
        let mut stream = subscribed?.into_inner();
        let patience = 2 * reading.keepalive;
        // A gateway of an earlier version sends no heartbeats.
        let mut beats = false;
        loop {
            let message = match beats {
                true => timeout(patience, stream.message()).await.map_err(|_| {
                    Ended::disconnected(format!("nothing came for {patience:?}"))
                })?,
                false => stream.message().await,
            };
            let message = message.map_err(ended)?;
            let response = message.ok_or_else(|| Ended::disconnected("the stream ended"))?;
            yield match response.message {
                Some(Response::Heartbeat(_)) => {
                    beats = true;
                    StreamItem::Nothing
                }
                _ => StreamItem::Message(response.into()),
            };
        }
    }
}

fn origin(gateway: &Gateway) -> Result<Uri, Ended> {
    let uri = gateway.address.to_string().parse();
    uri.map_err(|error| Ended::new("invalid_request", error))
}

fn request(gateway: &Gateway, reading: &ReadOptions) -> Result<Request<SubscribeRequest>, Ended> {
    let channels = reading.channels.iter();
    let mut request = Request::new(SubscribeRequest {
        channels: channels.map(|name| name.as_str().to_owned()).collect(),
        cursor: reading.cursor.clone(),
        heartbeat: true,
    });
    if let Some(token) = gateway.token.header().map_err(Ended::unreachable)? {
        let mut metadata = std::mem::take(request.metadata_mut()).into_headers();
        metadata.insert(header::AUTHORIZATION, token);
        *request.metadata_mut() = tonic::metadata::MetadataMap::from_headers(metadata);
    }
    Ok(request)
}

/// The same message as on the other transports.
impl From<SubscribeResponse> for Message {
    fn from(response: SubscribeResponse) -> Self {
        match response.message {
            Some(Response::Ready(ready)) => Self::Ready {
                channels: ready.channels,
                cursor: ready.cursor,
            },
            Some(Response::Event(event)) => Self::Event {
                id: event.id,
                channel: event.channel,
                payload: event.payload,
                received_at: time(event.received_at),
            },
            Some(Response::Gap(gap)) => {
                let name = gap.reason().as_str_name().to_lowercase();
                let reason = name.trim_start_matches("gap_reason_").to_owned();
                Self::Gap { id: gap.id, reason }
            }
            Some(Response::Interrupted(interrupted)) => Self::Interrupted {
                since: time(interrupted.since),
                code: None,
                message: None,
            },
            Some(Response::Live(live)) => Self::Live {
                cursor: live.cursor,
            },
            Some(Response::Heartbeat(_)) | None => {
                Self::Unknown(serde_json::json!({"type": "unknown"}))
            }
        }
    }
}

/// The gateway always sends a time, between the years 1970 and 9999.
fn time(timestamp: Option<Timestamp>) -> String {
    let time = timestamp.and_then(|timestamp| SystemTime::try_from(timestamp).ok());
    format_rfc3339_micros(time.unwrap_or(SystemTime::UNIX_EPOCH)).to_string()
}
