//! How a WebSocket ends: the gateway's close codes, and what a client did
//! against the protocol (RFC 6455, section 7.4.1).

use std::{io, time::Duration};

use tokio::time::timeout;
use tungstenite::{Error as WsError, Message, protocol::CloseFrame};

use super::{
    codes::{Code, Refusal},
    web_socket::WebSocket,
};

/// How long the client may take to answer a close frame, before the
/// connection is simply dropped.
const HANDSHAKE: Duration = Duration::from_secs(5);

/// What a close frame can hold beside its code: 125 bytes less two.
const MAX_REASON: usize = 123;

/// Why the gateway ends a connection; nothing where the client did.
#[derive(Debug)]
pub(super) enum End {
    /// With a code of the contract.
    Refused(Refusal),
    /// With a code of the protocol.
    Protocol(u16, &'static str),
    /// The socket has taken nothing for `write_timeout`: nothing can be said.
    Stalled,
    /// The client closed, or is gone: an answer it may still get.
    ByClient,
}

impl End {
    /// A broken socket: the kernel too gives up one whose client took nothing.
    pub(super) fn of_error(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::TimedOut => Self::Stalled,
            _ => Self::ByClient,
        }
    }

    /// The contract's, if it is the gateway that ends it.
    pub(super) fn code(&self) -> Option<Code> {
        match self {
            Self::Refused(refusal) => Some(refusal.code),
            Self::Protocol(..) => Some(Code::InvalidRequest),
            Self::Stalled => Some(Code::WriteTimeout),
            Self::ByClient => None,
        }
    }

    /// The client has answered no ping within `write_timeout`.
    pub(super) fn unanswered() -> Self {
        Self::Refused(Refusal::new(Code::WriteTimeout, "no answer to a ping"))
    }
}

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

/// Does this side's part of the closing handshake (RFC 6455, section 7.1.2):
/// says why, or answers the client, and reads to the end. A socket dropped
/// before that would take the frame with it.
pub(super) async fn close(mut socket: WebSocket, end: End) {
    let handshake = async {
        if say(&mut socket, end).await.is_err() {
            return;
        }
        socket.read_to_close().await;
        // One that cannot be told is gone.
        let _ = socket.shutdown().await;
    };
    // At the limit the client is as good as gone.
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

/// At most `MAX_REASON` bytes, and whole characters.
fn cut(reason: &str) -> &str {
    let ends = reason.char_indices().map(|(at, c)| at + c.len_utf8());
    let end = ends.take_while(|end| *end <= MAX_REASON).last();
    &reason[..end.unwrap_or(0)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_that_takes_nothing_is_known_whoever_finds_it() {
        let code = |kind: io::ErrorKind| End::from(WsError::Io(kind.into())).code();
        assert_eq!(code(io::ErrorKind::TimedOut), Some(Code::WriteTimeout));
        assert_eq!(code(io::ErrorKind::ConnectionReset), None);
    }

    #[test]
    fn a_reason_fits_into_a_control_frame() {
        assert_eq!(cut(""), "");
        assert_eq!(cut(&"x".repeat(200)).len(), 123);
        assert_eq!(cut(&"é".repeat(200)).len(), 122);
    }
}
