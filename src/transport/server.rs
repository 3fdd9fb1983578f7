//! The accept loop, and the limits of one connection.

use std::{error::Error, io, time::Duration};

use axum::{Router, middleware::from_fn_with_state};
use futures_util::future::join_all;
use tokio::{
    net::{TcpListener, TcpStream},
    select,
    time::{sleep, timeout},
};
use tracing::{debug, warn};

use super::{
    access::{
        admission::{Admission, Settings},
        limits::{LogThrottle, Peer},
        route_set::RouteSet,
    },
    connection::{
        descriptors::{Descriptors, Place},
        http1, http2,
        pending_requests::PendingRequests,
        quota::{ConnectionPermit, ConnectionQuota},
        socket::Socket,
        tcp::{Protocol, Tcp},
        tls::{Acceptor, Tls},
    },
    refusals::count_refusals,
    router::{App, full},
};
use crate::shutdown::Shutdown;

/// Time limit of a connection beyond the limit, from its TLS handshake to its
/// refusal.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(2);

/// Pause after a failed accept: without file descriptors, an immediate retry
/// would fail again and spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Listening socket and its routes.
#[derive(Debug)]
pub struct Listener {
    /// The bound socket.
    pub listener: TcpListener,
    /// Routes that it serves.
    pub app: App,
    /// Route set, which decides the share of reserved descriptors.
    pub side: RouteSet,
    /// TLS configuration; `None` for plain connections.
    pub tls: Option<Tls>,
}

/// Accepts connections until shutdown begins. Open connections end after all
/// readers have received their end, and are awaited with the other tasks.
pub async fn serve(doors: Vec<Listener>, admission: Admission, shutdown: &Shutdown) {
    let refusing =
        |message| full(message).layer(from_fn_with_state(admission.clone(), count_refusals));
    let server = Server {
        full: refusing("no file descriptor is left for another connection (ulimit -n)"),
        crowded: refusing("this address has as many connections as it may"),
        descriptors: Descriptors::claim(),
        out_of_files: LogThrottle::default(),
        admission,
        shutdown,
    };
    join_all(doors.into_iter().map(|door| server.accept(door))).await;
}

struct Server<'a> {
    /// Router for connections without a free file descriptor.
    full: Router,
    /// Router for connections beyond the limit of their address.
    crowded: Router,
    descriptors: Descriptors,
    out_of_files: LogThrottle,
    admission: Admission,
    shutdown: &'a Shutdown,
}

impl Server<'_> {
    async fn accept(&self, door: Listener) {
        // For this listener alone: a crowd on the public listener does not
        // exhaust the quota of the admin listener.
        let newcomers = ConnectionQuota::of(self.descriptors.left());
        let waiting = PendingRequests::new(self.admission.clone());
        loop {
            let accepted = select! {
                accepted = door.listener.accept() => accepted,
                () = self.shutdown.begun.cancelled() => return,
            };
            let received = accepted.and_then(|(stream, peer)| {
                let visit = newcomers.visit(Peer(peer.ip()), &self.admission.limits());
                self.receive((&door, &waiting), stream, visit)
            });
            match received {
                Ok(()) => {}
                Err(error) if is_of_the_connection(&error) => debug!(%error, "not accepted"),
                Err(error) => {
                    if self.out_of_files.is_news() {
                        warn!(%error, "cannot accept");
                    }
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn receive(
        &self,
        (door, waiting): (&Listener, &PendingRequests),
        stream: TcpStream,
        mut visit: ConnectionPermit,
    ) -> io::Result<()> {
        let (place, refuses) = match self.descriptors.place(&stream, door.side) {
            Place::Free => (visit.place, &self.crowded),
            place => (self.without_descriptor(place), &self.full),
        };
        let limit = self.admission.settings().write_timeout;
        let tcp = Tcp::new(stream, limit, visit.share.take())?;
        let tls = door.tls.as_ref().map(Tls::acceptor);
        let client = (tcp, tls);
        let tasks = &self.shutdown.tasks;
        match place {
            Place::Free => drop(tasks.spawn(self.connection(client, visit, (&door.app, waiting)))),
            Place::Full => {
                let farewell = timeout(
                    REFUSAL_TIMEOUT,
                    self.connection(client, visit, (refuses, waiting)),
                );
                drop(tasks.spawn(farewell));
            }
            Place::Crowded => drop(client),
        }
        Ok(())
    }

    fn without_descriptor(&self, place: Place) -> Place {
        if self.out_of_files.is_news() {
            warn!(
                limit = self.descriptors.limit(),
                "no file descriptor is left for another connection (ulimit -n)"
            );
        }
        place
    }

    fn connection(
        &self,
        client: Client,
        visit: ConnectionPermit,
        (app, waiting): (&Router, &PendingRequests),
    ) -> impl Future<Output = ()> + Send + use<> {
        let visitor = (client, visit.peer, self.admission.settings());
        let served = connection(
            visitor,
            (app.clone(), waiting.clone()),
            self.shutdown.clone(),
        );
        async move {
            served.await;
            drop(visit);
        }
    }
}

/// Accepted socket, and its listener's TLS acceptor if it has one.
type Client = (Tcp, Option<Acceptor>);

async fn connection(
    ((tcp, tls), peer, settings): (Client, Peer, Settings),
    app: (Router, PendingRequests),
    shutdown: Shutdown,
) {
    let opened = select! {
        opened = Socket::open(tcp, tls) => opened,
        () = sleep(settings.request_timeout) => return,
        () = shutdown.told.cancelled() => return,
    };
    let Ok((stream, protocol)) = opened else {
        return;
    };
    let result: Result<(), Box<dyn Error>> = match protocol {
        Protocol::Http1 => {
            let served = http1::serve(stream, peer, app, settings, &shutdown);
            Box::pin(served).await.map_err(Into::into)
        }
        Protocol::Http2 => {
            let served = http2::serve(stream, peer, app, settings, &shutdown);
            Box::pin(served).await.map_err(Into::into)
        }
    };
    if let Err(error) = result {
        debug!(%error, "a connection ended");
    }
}

/// Whether the error concerns this connection alone: the client left before it
/// was accepted, and the next accept may succeed.
fn is_of_the_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::NotConnected
            | io::ErrorKind::InvalidInput
    )
}
