//! How many connections the process may hold: each costs a file descriptor,
//! and so do the database's sessions, which no crowd of readers may shut out.

use std::os::fd::{AsFd, AsRawFd};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::{info, warn};

/// Descriptors that readers leave free: for the database's sessions, the files
/// and sockets that looking for it takes, and newcomers that are told that
/// there is no room.
const RESERVED: usize = 64;

/// What becomes of a connection that was accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// It is served.
    Free,
    /// There is room to say that there is none.
    Full,
    /// Not even for that.
    Crowded,
}

/// The descriptors of this process.
#[derive(Debug, Clone, Copy)]
pub(super) struct Descriptors {
    limit: usize,
}

impl Descriptors {
    /// Takes as many as the process may have (`RLIMIT_NOFILE`, getrlimit(2)):
    /// what is set at first is often a thousand, for the sake of programs of
    /// another age.
    pub(super) fn claim() -> Self {
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        let raised = Rlimit {
            current: maximum,
            maximum,
        };
        let granted = match setrlimit(Resource::Nofile, raised) {
            Ok(()) => maximum,
            Err(error) => {
                warn!(%error, "the limit of open files cannot be raised");
                current
            }
        };
        // No value is no limit.
        let limit = granted.map_or(usize::MAX, |limit| limit.try_into().unwrap_or(usize::MAX));
        let kept_free = limit - room(limit);
        info!(limit, kept_free, "open files, one for each connection");
        Self { limit }
    }

    /// POSIX gives the lowest descriptor that is free (2.6 of its general
    /// information): so the number says how many are taken.
    pub(super) fn place(self, socket: &impl AsFd) -> Place {
        let taken = usize::try_from(socket.as_fd().as_raw_fd()).unwrap_or(0);
        let room = room(self.limit);
        match taken {
            _ if taken < room => Place::Free,
            _ if taken < room + (self.limit - room) / 2 => Place::Full,
            _ => Place::Crowded,
        }
    }
}

/// How many of `limit` descriptors connections may take.
pub fn room(limit: usize) -> usize {
    limit.saturating_sub(RESERVED).max(limit / 2)
}
