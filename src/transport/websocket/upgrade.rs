//! Upgrade of a request to a WebSocket (RFC 6455, section 4.2).

use std::time::Duration;

use axum::{
    body::Body,
    extract::Request,
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use tokio_tungstenite::WebSocketStream;
use tungstenite::{
    handshake::derive_accept_key,
    protocol::{Role, WebSocketConfig},
};

use super::{frames::Frames, socket::WebSocket};
use crate::transport::{
    access::{
        admission::Admission,
        credentials::{PROTOCOL, offers_token, protocols},
        limits::{Rate, TokenBucket},
    },
    connection::{
        pending_requests::Weight,
        socket::Socket,
        takeover::{ConnectionTask, HandOver},
    },
    protocol::{codes::Refusal, list_header},
};

/// Fits the usual messages of clients; a longer frame is read in parts. Each idle
/// reader has such a buffer.
const READ_BUFFER: usize = 256;

/// More than the gateway's own messages between two flushes.
const MAX_WRITE_BUFFER: usize = 1 << 20;

/// The only version (RFC 6455, section 4.1).
const VERSION: &str = "13";

/// The 101, or the rule that the request breaks (RFC 6455, section 4.2.1).
/// tungstenite's own check reads only the first line of `Connection`, and takes
/// `Upgrade` for one word: a proxy that adds `Connection: keep-alive`, or a client
/// that offers another protocol too, would be refused.
fn handshake(request: &Request) -> Result<Response, &'static str> {
    let headers = request.headers();
    if request.method() != Method::GET {
        return Err("a WebSocket begins with GET");
    }
    if !list_header::has(headers, &header::CONNECTION, "upgrade") {
        return Err("a WebSocket is needed here: `upgrade` is not in the header `Connection`");
    }
    if !list_header::has(headers, &header::UPGRADE, "websocket") {
        return Err("a WebSocket is needed here: `websocket` is not in the header `Upgrade`");
    }
    if only_line(headers, &header::SEC_WEBSOCKET_VERSION).is_none_or(|one| one != VERSION) {
        return Err("the header `Sec-WebSocket-Version` is needed once, and is 13");
    }
    let key = only_line(headers, &header::SEC_WEBSOCKET_KEY);
    let key = key.ok_or("the header `Sec-WebSocket-Key` is needed once")?;
    let accept = HeaderValue::try_from(derive_accept_key(key.as_bytes()));
    let accept = accept.map_err(|_| "the header `Sec-WebSocket-Key` cannot be answered")?;
    let mut answer = Response::new(Body::empty());
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = answer.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    Ok(answer)
}

/// The value of a header that is not a list. With two lines, a proxy may have
/// checked one and we the other (RFC 6455, sections 11.3.1 and 11.3.5).
fn only_line<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a HeaderValue> {
    let mut lines = headers.get_all(name).iter();
    lines.next().filter(|_| lines.next().is_none())
}

/// A valid request for a WebSocket.
pub(in crate::transport) struct Upgrade {
    answer: Response,
    max_frame: usize,
    rate: Rate,
    limit: Duration,
    weight: Weight,
}

impl Upgrade {
    /// Refuses a request that is not an upgrade, or asks for another version; the
    /// response names the supported version (RFC 6455, section 4.4).
    pub(in crate::transport) fn of(
        request: &Request,
        admission: &Admission,
    ) -> Result<Self, Box<Response>> {
        let mut answer = handshake(request).map_err(|rule| {
            let mut response = Refusal::invalid(rule).into_response();
            let version = HeaderValue::from_static(VERSION);
            response
                .headers_mut()
                .insert(header::SEC_WEBSOCKET_VERSION, version);
            Box::new(response)
        })?;
        if protocols(request.headers()).any(|offer| offer == PROTOCOL) {
            let protocol = HeaderValue::from_static(PROTOCOL);
            let headers = answer.headers_mut();
            headers.insert(header::SEC_WEBSOCKET_PROTOCOL, protocol);
        } else if offers_token(request.headers()) {
            let rule = "with a token among the protocols, offer pgfan.v1 too";
            return Err(Box::new(Refusal::invalid(rule).into_response()));
        }
        if !HandOver::is_possible(request) {
            let rule = "a WebSocket begins on HTTP/1.1, without a body";
            return Err(Box::new(Refusal::invalid(rule).into_response()));
        }
        Ok(Self {
            answer,
            max_frame: admission.settings().max_client_frame,
            rate: Rate::a_second(admission.settings().max_frame_rate),
            limit: admission.settings().request_timeout,
            weight: Weight::of(request.extensions()),
        })
    }

    /// Releases the request's budget: it is now a reader, though the 101 may be
    /// sent later.
    pub(super) fn is_admitted(&self) {
        self.weight.release();
    }

    /// The 101; once it is sent, `serve` gets the socket.
    pub(in crate::transport) fn accept(
        mut self,
        serve: impl FnOnce(WebSocket) -> ConnectionTask + Send + 'static,
    ) -> Response {
        let (max_frame, rate, limit) = (self.max_frame, self.rate, self.limit);
        let hand_over = HandOver::to(async move |socket, read| {
            let stream = open(socket, read, max_frame).await;
            serve(WebSocket::new(stream, TokenBucket::new(rate), limit))
        });
        self.answer.extensions_mut().insert(hand_over);
        self.answer
    }
}

/// `read` is the client's input that was read already.
async fn open(socket: Socket, read: Vec<u8>, max_frame: usize) -> WebSocketStream<Frames> {
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(0)
        .max_write_buffer_size(MAX_WRITE_BUFFER)
        .max_message_size(Some(max_frame))
        .max_frame_size(Some(max_frame));
    let role = Role::Server;
    let socket = Frames::of(socket, &read);
    WebSocketStream::from_partially_read(socket, read, role, Some(config)).await
}
