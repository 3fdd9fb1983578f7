//! Limit of connections by file descriptors. Each connection costs one, as do the
//! database sessions, which readers must not crowd out.

use std::{
    fs::File,
    os::fd::{AsFd, AsRawFd},
};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::{info, warn};

use crate::transport::access::route_set::RouteSet;

/// Descriptors that connections of readers leave free: for the database sessions,
/// the files and sockets of a connection attempt to the database, the operators'
/// listener, and new clients that get an error response.
const RESERVED: usize = 64;

/// Descriptors of the reserve for the gateway itself, an eighth of it: two sessions,
/// a name lookup, and reading a file of keys or certificates.
const OWN: usize = 8;

/// Admission of an accepted connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::transport) enum Place {
    /// It is served.
    Free,
    /// It gets an error response.
    Full,
    /// It is dropped without a response.
    Crowded,
}

/// The descriptors of this process.
#[derive(Debug, Clone, Copy)]
pub(in crate::transport) struct Descriptors {
    limit: usize,
    /// Open before the first connection.
    taken: usize,
}

impl Descriptors {
    /// Raises the limit to the hard limit (`RLIMIT_NOFILE`, getrlimit(2)): the soft
    /// limit is often about a thousand, for the sake of old programs.
    pub(in crate::transport) fn claim() -> Self {
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
        // `None` means unlimited.
        let limit = granted.map_or(usize::MAX, |limit| limit.try_into().unwrap_or(usize::MAX));
        let kept_free = limit - room(limit);
        info!(limit, kept_free, "open files, one for each connection");
        // The lowest free descriptor.
        let taken = File::open("/dev/null").map_or(0, |file| number(&file));
        Self { limit, taken }
    }

    pub(in crate::transport) fn limit(self) -> usize {
        self.limit
    }

    /// Descriptors available to connections, without those that the gateway itself
    /// uses.
    pub(in crate::transport) fn left(self) -> usize {
        room(self.limit).saturating_sub(self.taken + OWN).max(1)
    }

    /// Admission by the number of a new socket. POSIX assigns the lowest free
    /// descriptor (section 2.6 of its general information), so the number tells how
    /// many are in use. Many clients at the public listener leave the other half of
    /// the reserve to the operators' listener.
    pub(in crate::transport) fn place(self, socket: &impl AsFd, side: RouteSet) -> Place {
        place(number(socket), self.limit, side)
    }
}

fn number(open: &impl AsFd) -> usize {
    usize::try_from(open.as_fd().as_raw_fd()).unwrap_or(0)
}

fn place(taken: usize, limit: usize, side: RouteSet) -> Place {
    let reserved = limit - room(limit);
    let (full, crowded) = match side {
        RouteSet::Admin => (reserved / OWN * 2, reserved / OWN),
        RouteSet::Public | RouteSet::Whole => (reserved, reserved / 2),
    };
    match taken {
        _ if taken < limit - full => Place::Free,
        _ if taken < limit - crowded => Place::Full,
        _ => Place::Crowded,
    }
}

/// Number of files that the process may open after it has raised its limit.
pub fn open_files() -> usize {
    let maximum = getrlimit(Resource::Nofile).maximum;
    // `None` means unlimited.
    maximum.map_or(usize::MAX, |limit| limit.try_into().unwrap_or(usize::MAX))
}

/// How many of `limit` descriptors connections may take.
pub fn room(limit: usize) -> usize {
    limit.saturating_sub(RESERVED).max(limit / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crowd_leaves_room_to_those_who_run_the_gateway_and_to_itself() {
        let places = |limit: usize, side| {
            let count = |wanted| {
                let places = (0..limit).map(|taken| place(taken, limit, side));
                places.filter(|place| *place == wanted).count()
            };
            [Place::Free, Place::Full, Place::Crowded].map(count)
        };
        for side in [RouteSet::Public, RouteSet::Whole] {
            assert_eq!(places(1024, side), [960, 32, 32]);
        }
        assert_eq!(places(1024, RouteSet::Admin), [1008, 8, 8]);
        assert_eq!(places(64, RouteSet::Public), [32, 16, 16]);
        assert_eq!(places(64, RouteSet::Admin), [56, 4, 4]);
    }
}
