//! Reasons why a stream ends, for all transports.

use std::io;

use crate::transport::protocol::codes::{Code, Refusal};

/// Reason why a connection ends.
#[derive(Debug)]
pub(in crate::transport) enum End {
    /// Ended by the gateway, with a code of the contract.
    Refused(Refusal),
    /// Ended by the gateway, with a code of the WebSocket protocol.
    Protocol(u16, &'static str),
    /// The socket has accepted nothing for `write_timeout`: no reason can be sent.
    Stalled,
    /// The client closed or is gone; a response may still reach it.
    ByClient,
}

impl End {
    /// The end after a socket error. The kernel reports a timeout too, for a client
    /// that stopped reading.
    pub(in crate::transport) fn of_error(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::TimedOut => Self::Stalled,
            _ => Self::ByClient,
        }
    }

    /// The contract's code, if the gateway ends the connection.
    pub(in crate::transport) fn code(&self) -> Option<Code> {
        match self {
            Self::Refused(refusal) => Some(refusal.code),
            Self::Protocol(..) => Some(Code::InvalidRequest),
            Self::Stalled => Some(Code::WriteTimeout),
            Self::ByClient => None,
        }
    }

    /// The client did not answer a ping within `write_timeout`.
    pub(in crate::transport) fn unanswered() -> Self {
        Self::Refused(Refusal::new(Code::WriteTimeout, "no answer to a ping"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_that_takes_nothing_is_known_whoever_finds_it() {
        let code = |kind: io::ErrorKind| End::of_error(&kind.into()).code();
        assert_eq!(code(io::ErrorKind::TimedOut), Some(Code::WriteTimeout));
        assert_eq!(code(io::ErrorKind::ConnectionReset), None);
    }
}
