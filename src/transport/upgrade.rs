//! How a request becomes a WebSocket (RFC 6455, section 4.2).

use axum::{
    body::Body,
    extract::Request,
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use tokio_tungstenite::WebSocketStream;
use tungstenite::{
    handshake::server::create_response_with_body,
    protocol::{Role, WebSocketConfig},
};

use super::{
    admission::Admission,
    codes::Refusal,
    credentials::{PROTOCOL, offers_token, protocols},
    hand_over::{HandOver, Serving},
    limits::{Pace, Rate},
    socket::Socket,
    web_socket::WebSocket,
};

/// Holds what clients usually say; a longer frame is read in parts. It is
/// each idle reader's.
const READ_BUFFER: usize = 256;

/// Beyond what the gateway itself says between two flushes.
const MAX_WRITE_BUFFER: usize = 1 << 20;

/// A request that asks for a WebSocket as it should.
pub(super) struct Upgrade {
    answer: Response,
    max_frame: usize,
    rate: Rate,
}

impl Upgrade {
    /// What is no upgrade, or one of another version, is told what would be
    /// (RFC 6455, section 4.4).
    pub(super) fn of(request: &Request, admission: &Admission) -> Result<Self, Box<Response>> {
        let mut answer = create_response_with_body(request, Body::empty).map_err(|error| {
            let mut response = Refusal::invalid(error).into_response();
            let version = HeaderValue::from_static("13");
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
        })
    }

    /// The 101; once it is sent, `serve` has the socket.
    pub(super) fn accept(
        mut self,
        serve: impl FnOnce(WebSocket) -> Serving + Send + 'static,
    ) -> Response {
        let (max_frame, rate) = (self.max_frame, self.rate);
        let hand_over = HandOver::to(async move |socket, read| {
            let stream = open(socket, read, max_frame).await;
            serve(WebSocket::new(stream, Pace::new(rate)))
        });
        self.answer.extensions_mut().insert(hand_over);
        self.answer
    }
}

/// `read` is what the client has said already.
async fn open(socket: Socket, read: Vec<u8>, max_frame: usize) -> WebSocketStream<Socket> {
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(0)
        .max_write_buffer_size(MAX_WRITE_BUFFER)
        .max_message_size(Some(max_frame))
        .max_frame_size(Some(max_frame));
    let role = Role::Server;
    WebSocketStream::from_partially_read(socket, read, role, Some(config)).await
}
