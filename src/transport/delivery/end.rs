//! Why a stream ends, whichever transport it is on.

use std::io;

use crate::transport::protocol::codes::{Code, Refusal};

/// Why the gateway ends a connection; nothing where the client did.
#[derive(Debug)]
pub(in crate::transport) enum End {
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
    pub(in crate::transport) fn of_error(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::TimedOut => Self::Stalled,
            _ => Self::ByClient,
        }
    }

    /// The contract's, if it is the gateway that ends it.
    pub(in crate::transport) fn code(&self) -> Option<Code> {
        match self {
            Self::Refused(refusal) => Some(refusal.code),
            Self::Protocol(..) => Some(Code::InvalidRequest),
            Self::Stalled => Some(Code::WriteTimeout),
            Self::ByClient => None,
        }
    }

    /// The client has answered no ping within `write_timeout`.
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
