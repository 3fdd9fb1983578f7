//! The closing handshake of a WebSocket (RFC 6455, section 7).

use std::time::Duration;

use tokio::time::timeout;
use tungstenite::{Error as WsError, Message, protocol::CloseFrame};

use super::socket::WebSocket;
use crate::transport::delivery::end::End;

/// How long the client may take to answer a close frame, before the connection is
/// dropped.
const HANDSHAKE: Duration = Duration::from_secs(5);

/// Longest reason of a close frame: 125 bytes less two for the code.
const MAX_REASON: usize = 123;

impl From<WsError> for End {
    fn from(error: WsError) -> Self {
        match error {
            WsError::Io(error) => Self::of_error(&error),
            WsError::Capacity(_) => Self::Protocol(1009, "the message is too large"),
            WsError::Utf8(_) => Self::Protocol(1007, "the text is not UTF-8"),
            WsError::Protocol(_) => Self::Protocol(1002, "not the WebSocket protocol"),
            _ => Self::ByClient,
        }
    }
}

/// Does this side's part of the closing handshake (RFC 6455, section 7.1.2): sends
/// the reason, or answers the client, and reads to the end. If the socket were
/// dropped before that, the frame could be lost.
pub(in crate::transport) async fn close(mut socket: WebSocket, end: End) {
    let handshake = async {
        if say(&mut socket, end).await.is_err() {
            return;
        }
        socket.read_to_close().await;
        // If it fails, the client is gone.
        let _ = socket.shutdown().await;
    };
    // At the limit the client is treated as gone.
    let _ = timeout(HANDSHAKE, handshake).await;
}

async fn say(socket: &mut WebSocket, end: End) -> Result<(), End> {
    let (code, reason) = match end {
        End::Refused(refusal) => (
            refusal.code.websocket(),
            format!("{}: {}", refusal.code.as_str(), refusal.message),
        ),
        End::Protocol(code, reason) => (code, reason.to_owned()),
        // tungstenite has the answer ready.
        End::ByClient => return socket.flush().await,
        End::Stalled => return Ok(()),
    };
    let reason = cut(&reason).into();
    let frame = CloseFrame {
        code: code.into(),
        reason,
    };
    socket.send(Message::Close(Some(frame))).await
}

/// Truncates to `MAX_REASON` bytes, at a character boundary.
fn cut(reason: &str) -> &str {
    let ends = reason.char_indices().map(|(at, c)| at + c.len_utf8());
    let end = ends.take_while(|end| *end <= MAX_REASON).last();
    &reason[..end.unwrap_or(0)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_fits_into_a_control_frame() {
        assert_eq!(cut(""), "");
        assert_eq!(cut(&"x".repeat(200)).len(), 123);
        assert_eq!(cut(&"é".repeat(200)).len(), 122);
    }
}
