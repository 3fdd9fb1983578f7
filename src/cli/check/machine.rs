//! Checks of the machine: file descriptors and addresses.

use std::{io, net::SocketAddr};

use rustix::io::Errno;
use tokio::net::{TcpListener, TcpSocket};

use super::Finding;
use crate::{
    hub,
    transport::{self, room},
};

/// Fails below this: even the gateway's own files may not fit beside its readers.
const MIN_ROOM: usize = 64;

/// Warns below this if --max-readers was not set. A hard limit of 1024, which many systems and
/// containers have, leaves more.
const LITTLE_ROOM: usize = 512;

/// The gateway raises its limit to the hard limit. The default of --max-readers is far more than
/// most gateways have, so it is not taken as a requirement.
pub(super) fn open_files(max_readers: usize) -> Finding {
    let is_meant = max_readers != hub::Config::default().max_readers;
    judge(transport::open_files(), max_readers, is_meant)
}

fn judge(limit: usize, max_readers: usize, is_meant: bool) -> Finding {
    let room = room(limit);
    let wanted = match is_meant {
        true => max_readers,
        false => max_readers.min(LITTLE_ROOM),
    };
    let says = match is_meant {
        true => format!("{limit}, room for {room} readers of --max-readers {max_readers}"),
        false => format!("{limit}, room for {} readers", room.min(max_readers)),
    };
    let raise = "raise the hard limit of open files: LimitNOFILE= in a systemd unit, \
                 --ulimit nofile= of a container, `ulimit -Hn` in a shell of root";
    if room < MIN_ROOM {
        Finding::fail("open files", says, raise)
    } else if room < wanted {
        let remedy = format!("{raise}; or say so with --max-readers {room}");
        Finding::warn("open files", says, remedy)
    } else {
        Finding::ok("open files", says)
    }
}

/// Binds each address for a moment, as the gateway would. The first stays bound while the second is
/// tried; otherwise one address would be free twice.
pub(super) fn addresses(listen: SocketAddr, admin: Option<SocketAddr>) -> Vec<Finding> {
    let held = bind(listen);
    let first = judge_address(listen, "--listen", held.as_ref().err());
    let second = admin.map(|admin| match bind(admin) {
        Err(error) if is_taken(&error) && overlap(listen, admin) => Finding::fail(
            "address",
            format!("{admin} (--admin-listen) is what --listen {listen} has already"),
            "give another port with --admin-listen, or leave it out: what it shows is then on \
             --listen",
        ),
        bound => judge_address(admin, "--admin-listen", bound.err().as_ref()),
    });
    [Some(first), second].into_iter().flatten().collect()
}

/// `flag` is the flag that sets the address.
fn judge_address(address: SocketAddr, flag: &str, error: Option<&io::Error>) -> Finding {
    match error {
        None => Finding::ok("address", format!("{address} is free")),
        Some(error) if is_taken(error) => Finding::warn(
            "address",
            format!("{address} is taken"),
            format!(
                "none where that is the gateway, already at work; else end the other program, \
                 or choose another address with {flag}"
            ),
        ),
        Some(error) => Finding::fail(
            "address",
            format!("{address}: {error}"),
            remedy(error, flag),
        ),
    }
}

/// Remedy for an address that cannot be bound, but is not in use.
pub(in crate::cli) fn remedy(error: &io::Error, flag: &str) -> String {
    let out_of_files = [Errno::MFILE, Errno::NFILE].map(|errno| Some(errno.raw_os_error()));
    let give = match error.kind() {
        _ if out_of_files.contains(&error.raw_os_error()) => {
            return "raise the limit of open files: `ulimit -n`, or LimitNOFILE= in a systemd unit"
                .to_owned();
        }
        io::ErrorKind::AddrNotAvailable => "give an address of this machine",
        io::ErrorKind::PermissionDenied => {
            return format!(
                "give a port above 1023: {flag} ADDRESS:PORT; or let pgfan take this one: \
                 AmbientCapabilities=CAP_NET_BIND_SERVICE and CapabilityBoundingSet= of the same \
                 in its systemd unit, --cap-add NET_BIND_SERVICE for a container's root, or \
                 `setcap cap_net_bind_service=+ep` on the program"
            );
        }
        _ => "give another address",
    };
    format!("{give}: {flag} ADDRESS:PORT")
}

fn is_taken(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrInUse
}

/// Whether one address includes the other: `0.0.0.0` and `[::]` include all. With port 0 each gets
/// a port of its own.
pub(in crate::cli) fn overlap(one: SocketAddr, other: SocketAddr) -> bool {
    let [one_ip, other_ip] = [one, other].map(|address| address.ip().to_canonical());
    let is_every = one_ip.is_unspecified() || other_ip.is_unspecified();
    one.port() == other.port() && one.port() != 0 && (is_every || one_ip == other_ip)
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(1)
}

#[cfg(test)]
mod tests {
    use super::{super::Verdict, *};

    #[test]
    fn room_is_judged_by_the_readers_that_are_meant() {
        for (limit, readers, verdict) in [
            (1 << 20, 100_000, Verdict::Ok),
            (usize::MAX, 10_000_000, Verdict::Ok),
            (1064, 1000, Verdict::Ok),
            (1063, 1000, Verdict::Warn),
            (128, 100_000, Verdict::Warn),
            (127, 10, Verdict::Fail),
        ] {
            let finding = judge(limit, readers, true);
            assert_eq!(finding.verdict, verdict, "{limit} {readers}");
        }
    }

    #[test]
    fn the_default_for_readers_is_no_wish() {
        for (limit, verdict) in [
            (20_000, Verdict::Ok),
            (1024, Verdict::Ok),
            (575, Verdict::Warn),
            (127, Verdict::Fail),
        ] {
            assert_eq!(judge(limit, 100_000, false).verdict, verdict, "{limit}");
        }
    }
}
