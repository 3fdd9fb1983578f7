//! How a request becomes a WebSocket (RFC 6455, section 4.2).

use axum::{
    body::Body,
    extract::Request,
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio_tungstenite::WebSocketStream;
use tokio_util::task::TaskTracker;
use tungstenite::{
    handshake::server::create_response_with_body,
    protocol::{Role, WebSocketConfig},
};

use super::{admission::Admission, codes::Refusal, socket::Socket, web_socket::WebSocket};

/// Holds what clients usually say; a longer frame is read in parts. It is
/// each idle reader's.
const READ_BUFFER: usize = 256;

/// Beyond what the gateway itself says between two flushes.
const MAX_WRITE_BUFFER: usize = 1 << 20;

/// A request that asks for a WebSocket as it should.
pub(super) struct Upgrade {
    answer: Response,
    upgraded: OnUpgrade,
    max_frame: usize,
}

impl Upgrade {
    /// What is no upgrade, or one of another version, is told what would be
    /// (RFC 6455, section 4.4).
    pub(super) fn of(request: &mut Request, admission: &Admission) -> Result<Self, Box<Response>> {
        let upgraded = hyper::upgrade::on(&mut *request);
        let answer = create_response_with_body(request, Body::empty).map_err(|error| {
            let mut response = Refusal::invalid(error).into_response();
            let version = HeaderValue::from_static("13");
            response
                .headers_mut()
                .insert(header::SEC_WEBSOCKET_VERSION, version);
            Box::new(response)
        })?;
        Ok(Self {
            answer,
            upgraded,
            max_frame: admission.settings().max_client_frame,
        })
    }

    /// The 101; once it is sent, `serve` has the socket, in a task that holds
    /// nothing else. A client that is gone before that is not served.
    pub(super) fn accept<F>(
        self,
        tasks: TaskTracker,
        serve: impl FnOnce(WebSocket) -> F + Send + 'static,
    ) -> Response
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (upgraded, max_frame) = (self.upgraded, self.max_frame);
        let serving = tasks.clone();
        tasks.spawn(async move {
            if let Ok(upgraded) = upgraded.await
                && let Some(socket) = open(upgraded, max_frame).await
            {
                serving.spawn(serve(socket));
            }
        });
        self.answer
    }
}

/// The bare socket, without the server around it.
async fn open(upgraded: hyper::upgrade::Upgraded, max_frame: usize) -> Option<WebSocket> {
    let parts = upgraded.downcast::<TokioIo<Socket>>().ok()?;
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(0)
        .max_write_buffer_size(MAX_WRITE_BUFFER)
        .max_message_size(Some(max_frame))
        .max_frame_size(Some(max_frame));
    // A copy of what was read already: the buffer itself is the server's.
    let read = parts.read_buf.to_vec();
    let socket = parts.io.into_inner();
    let role = Role::Server;
    let stream = WebSocketStream::from_partially_read(socket, read, role, Some(config)).await;
    Some(WebSocket::new(stream))
}
