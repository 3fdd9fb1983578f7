//! Server-Sent Events: `GET /v1/sse`
//! (<https://html.spec.whatwg.org/multipage/server-sent-events.html>).

mod body;
mod connection;
mod message;

use axum::{
    body::Body,
    extract::{RawQuery, Request, State},
    response::Response,
};
use http::{HeaderMap, HeaderName, HeaderValue, header};

use self::{body::Chunks, connection::Connection};
use super::{
    admission::Admission,
    codes::Refusal,
    credentials::Credentials,
    cursor::{cursor, latest},
    hand_over::{HandOver, Serving},
    http2::OfReader,
    idle::Idle,
    query::StreamQuery,
    socket::Socket,
};
use crate::{event::WireName, hub::Cursor};

/// The response begins at once, a browser gives up for good on any status but
/// 200; its `ready` waits.
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
    drop(request);
    let grant = admission.admit(credentials).await?;
    let (wire, channels) = (WireName::Sse, &query.channels);
    let subscription = admission.subscribe(wire, &grant, address, channels, cursor)?;
    let mut idle = Idle::new(admission.settings().keepalive);
    idle.expire(grant.expires());
    let wire = query.format.wire();
    let mut response = if is_alone {
        handed_over(move |socket| Connection::new(socket, subscription, idle, wire))
    } else {
        let mut response = Response::new(Body::new(Chunks::new(subscription, idle, wire)));
        response.extensions_mut().insert(OfReader(admission));
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

/// What the client saw last on the connection before this one.
fn last_event_id(headers: &HeaderMap) -> Option<Cursor> {
    let ids = headers.get_all("last-event-id").iter();
    latest(ids.filter_map(|id| cursor(id.as_bytes())))
}

fn handed_over(connection: impl FnOnce(Socket) -> Connection + Send + 'static) -> Response {
    let mut response = Response::new(Body::empty());
    let close = HeaderValue::from_static("close");
    response.headers_mut().insert(header::CONNECTION, close);
    // Whatever else the client has said already is dropped, as what follows.
    let hand_over = HandOver::to(async |socket, _| Serving::by(Box::new(connection(socket)).run()));
    response.extensions_mut().insert(hand_over);
    response
}
