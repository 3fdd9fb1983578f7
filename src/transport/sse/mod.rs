//! Server-Sent Events: `GET /v1/sse`
//! (<https://html.spec.whatwg.org/multipage/server-sent-events.html>).

mod body;
mod connection;
mod message;

use std::time::Duration;

use axum::{
    body::{Body, to_bytes},
    extract::{RawQuery, Request, State},
    response::Response,
};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use hyper::body::Body as _;
use tokio::time::timeout;

use super::{
    access::{admission::Admission, credentials::Credentials},
    connection::{
        http2::SlowReaderCounter,
        keepalive::Keepalive,
        socket::Socket,
        takeover::{ConnectionTask, HandOver},
    },
    protocol::{
        codes::Refusal,
        cursor::{cursor, latest},
        query::StreamQuery,
    },
};
use crate::{event::WireName, hub::Cursor};
use body::Chunks;
use connection::Connection;

/// Maximum bytes of a request body. It has no meaning here, but some clients send
/// one; it is discarded.
const MAX_BODY: usize = 4 << 10;

/// The response begins at once, because a browser gives up permanently on any
/// status but 200; only its `ready` waits.
pub(super) async fn sse(
    State(admission): State<Admission>,
    RawQuery(query): RawQuery,
    request: Request,
) -> Result<Response, Refusal> {
    let query = StreamQuery::parse(query.as_deref())?;
    query.demand_channel()?;
    let cursor = last_event_id(request.headers()).or_else(|| query.cursor());
    let credentials = match query.ticket {
        Some(ticket) => Credentials::Ticket(ticket),
        None => admission.credentials(request.headers()),
    };
    let is_alone = HandOver::is_possible(&request);
    let address = admission.address(request.extensions(), request.headers());
    let body = request.into_body();
    let grant = admission.admit(credentials, address).await?;
    if !body.is_end_stream() {
        end(body, admission.settings().request_timeout).await?;
    }
    let (wire, channels) = (WireName::Sse, &query.channels);
    let subscription = admission.subscribe(wire, &grant, address, channels, cursor)?;
    let mut idle = Keepalive::new(admission.settings().keepalive);
    idle.expire(grant.expires());
    let wire = query.format.wire();
    let mut response = if is_alone {
        handed_over(move |socket| Connection::new(socket, subscription, idle, wire))
    } else {
        let mut response = Response::new(Body::new(Chunks::new(subscription, idle, wire)));
        response
            .extensions_mut()
            .insert(SlowReaderCounter(admission));
        response
    };
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-store"),
        (HeaderName::from_static("x-accel-buffering"), "no"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    Ok(response)
}

/// Reads the unneeded body to its end. h2 would otherwise keep late trailers as
/// long as the stream lasts.
async fn end(body: Body, limit: Duration) -> Result<(), Refusal> {
    let ended = timeout(limit, to_bytes(body, MAX_BODY)).await;
    let ended = ended.map_err(|_| Refusal::invalid("the request did not end in time"))?;
    ended.map_err(|_| Refusal::invalid("a request for a stream has no body"))?;
    Ok(())
}

/// Cursor of the last message on the client's previous connection.
fn last_event_id(headers: &HeaderMap) -> Option<Cursor> {
    let ids = headers.get_all("last-event-id").iter();
    latest(ids.filter_map(|id| cursor(id.as_bytes())))
}

fn handed_over(connection: impl FnOnce(Socket) -> Connection + Send + 'static) -> Response {
    let mut response = Response::new(Body::empty());
    let close = HeaderValue::from_static("close");
    response.headers_mut().insert(header::CONNECTION, close);
    // Anything else that the client has sent or sends is discarded.
    let hand_over =
        HandOver::to(async |socket, _| ConnectionTask::by(Box::new(connection(socket)).run()));
    response.extensions_mut().insert(hand_over);
    response
}
