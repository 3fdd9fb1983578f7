//! Listening addresses, and the routes served at each.

use std::{io, net::SocketAddr};

use tokio::net::{TcpListener, TcpSocket};

use super::AppError;
use crate::transport::{App, Listener, ListenerTraits, RouteSet, Tls};

/// Connections that may wait to be accepted; the kernel caps it at its
/// `somaxconn`, 4096 by default.
const BACKLOG: u32 = 4096;

/// The listeners and their routes. TLS is for clients: the admin address is
/// meant for a private network.
pub(super) fn doors<E>(
    (listener, tls): (TcpListener, Option<Tls>),
    admin: Option<TcpListener>,
    router: impl Fn(ListenerTraits) -> Result<App, E>,
) -> Result<Vec<Listener>, E> {
    let side = if admin.is_some() {
        RouteSet::Public
    } else {
        RouteSet::Whole
    };
    let speaks_tls = tls.is_some();
    let main = Listener {
        listener,
        app: router(ListenerTraits { side, speaks_tls })?,
        side,
        tls,
    };
    let mut doors = vec![main];
    if let Some(listener) = admin {
        let front = ListenerTraits {
            side: RouteSet::Admin,
            speaks_tls: false,
        };
        doors.push(Listener {
            listener,
            app: router(front)?,
            side: RouteSet::Admin,
            tls: None,
        });
    }
    Ok(doors)
}

pub(super) fn bind(address: SocketAddr, setting: &'static str) -> Result<TcpListener, AppError> {
    listen(address).map_err(|error| AppError::Bind(address, setting, error))
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}
