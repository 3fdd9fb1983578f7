//! How many connections the process may hold: each costs a file descriptor,
//! and so do the database's sessions, which no crowd of readers may shut out.

use std::{
    fs::File,
    os::fd::{AsFd, AsRawFd},
};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::{info, warn};

use crate::transport::access::route_set::RouteSet;

/// Descriptors that readers leave free: for the database's sessions, the files
/// and sockets that looking for it takes, the door of those who run the gateway,
/// and newcomers that are told that there is no room.
const RESERVED: usize = 64;

/// Of these an eighth is nobody's but the gateway's own: two sessions, a name
/// that is looked up, a file of keys or certificates that is read.
const OWN: usize = 8;

/// What becomes of a connection that was accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::transport) enum Place {
    /// It is served.
    Free,
    /// There is room to say that there is none.
    Full,
    /// Not even for that.
    Crowded,
}

/// The descriptors of this process.
#[derive(Debug, Clone, Copy)]
pub(in crate::transport) struct Descriptors {
    limit: usize,
    /// Taken before the first connection.
    taken: usize,
}

impl Descriptors {
    /// Takes as many as the process may have (`RLIMIT_NOFILE`, getrlimit(2)):
    /// what is set at first is often a thousand, for the sake of programs of
    /// another age.
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
        // No value is no limit.
        let limit = granted.map_or(usize::MAX, |limit| limit.try_into().unwrap_or(usize::MAX));
        let kept_free = limit - room(limit);
        info!(limit, kept_free, "open files, one for each connection");
        // The lowest that is free.
        let taken = File::open("/dev/null").map_or(0, |file| number(&file));
        Self { limit, taken }
    }

    pub(in crate::transport) fn limit(self) -> usize {
        self.limit
    }

    /// How many of them are left for connections, which the gateway's own do not
    /// need.
    pub(in crate::transport) fn left(self) -> usize {
        room(self.limit).saturating_sub(self.taken + OWN).max(1)
    }

    /// POSIX gives the lowest descriptor that is free (2.6 of its general
    /// information): so the number says how many are taken.
    /// A crowd before the public door leaves the other half of the reserve to
    /// that of those who run the gateway.
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

/// As many as the process may open once it has claimed them.
pub fn open_files() -> usize {
    let maximum = getrlimit(Resource::Nofile).maximum;
    // No value is no limit.
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
