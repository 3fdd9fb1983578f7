//! Identity of a client for limits.

use std::fmt;

use super::Address;
use crate::{
    auth::{Grant, Subject},
    hub::ClientKey,
};

/// The token's subject; without a token, the address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::transport) enum Client {
    Subject(Subject),
    Address(Address),
}

impl Client {
    pub(in crate::transport) fn of(address: Address, grant: &Grant) -> Self {
        let subject = grant.subject().map(Self::Subject);
        subject.unwrap_or(Self::Address(address))
    }

    pub(in crate::transport) fn key(self) -> ClientKey {
        match self {
            Self::Subject(subject) => ClientKey::new(1, subject.id()),
            Self::Address(address) => ClientKey::new(2, address.id()),
        }
    }
}

/// For log lines: the address, or a fingerprint of the subject.
impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Subject(subject) => write!(f, "sub:{}", subject.fingerprint()),
            Self::Address(address) => address.fmt(f),
        }
    }
}
