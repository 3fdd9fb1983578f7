//! The accept loop, and the limits of one connection.

use std::{
    convert::Infallible,
    error::Error,
    future::{pending, poll_fn},
    io,
    pin::{Pin, pin},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::Poll,
    time::Duration,
};

use axum::{Router, http::Request};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    select,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;
use tracing::{debug, warn};

use super::{
    admission::Settings,
    descriptors::{Descriptors, Place},
    hand_over::Leaving,
    http::full,
    http2,
    limits::{Limits, Peer},
    newcomers::{Newcomers, Visit},
    socket::Socket,
    tcp::{Protocol, Tcp},
    tls::{Acceptor, Tls},
};
use crate::shutdown::Shutdown;

/// A client sends its first request within this time, and each head in so much,
/// or is dropped.
pub(super) const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// Room for the head of a request, with a cursor of any sane length; more is
/// answered 431.
pub(super) const MAX_HEADER_BYTES: usize = 32 << 10;

/// How long one who comes when there is no room may take to be told so.
const FAREWELL: Duration = Duration::from_secs(2);

/// Out of file descriptors, accepting again at once would only spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Accepts until the end begins. Its connections end when every reader was
/// told, and are waited for with the rest.
pub async fn serve(
    listener: TcpListener,
    app: Router,
    settings: Settings,
    limits: Limits,
    tls: Option<Tls>,
    shutdown: &Shutdown,
) {
    let mut server = Server {
        app,
        full: full("no file descriptor is left for another connection (ulimit -n)"),
        crowded: full("this address has as many connections as it may"),
        newcomers: Newcomers::new(limits),
        descriptors: Descriptors::claim(),
        settings,
        tls,
        protocols: Arc::new(Protocols::new(settings)),
        shutdown,
    };
    loop {
        let accepted = select! {
            accepted = listener.accept() => accepted,
            () = shutdown.begun.cancelled() => return,
        };
        match accepted.and_then(|(stream, peer)| server.receive(stream, Peer(peer.ip()))) {
            Ok(()) => {}
            Err(error) if is_of_the_connection(&error) => debug!(%error, "not accepted"),
            Err(error) => {
                warn!(%error, "cannot accept");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

struct Server<'a> {
    app: Router,
    /// Answers those for whom there is no room.
    full: Router,
    /// Those whose address has too many already.
    crowded: Router,
    newcomers: Newcomers,
    descriptors: Descriptors,
    settings: Settings,
    tls: Option<Tls>,
    protocols: Arc<Protocols>,
    shutdown: &'a Shutdown,
}

impl Server<'_> {
    fn receive(&mut self, stream: TcpStream, peer: Peer) -> io::Result<()> {
        let visit = self.newcomers.visit(peer);
        let (place, refuses) = match self.descriptors.place(&stream) {
            Place::Free => (visit.place, &self.crowded),
            place => (place, &self.full),
        };
        let tcp = Tcp::new(stream, self.settings.write_timeout)?;
        let tls = self.tls.as_mut().map(Tls::acceptor);
        let client = (tcp, tls);
        let tasks = &self.shutdown.tasks;
        match place {
            Place::Free => drop(tasks.spawn(self.connection(client, visit, &self.app))),
            Place::Full => {
                let farewell = timeout(FAREWELL, self.connection(client, visit, refuses));
                drop(tasks.spawn(farewell));
            }
            Place::Crowded => drop(client),
        }
        Ok(())
    }

    fn connection(
        &self,
        client: Client,
        visit: Visit,
        app: &Router,
    ) -> impl Future<Output = ()> + Send + use<> {
        let (protocols, app) = (Arc::clone(&self.protocols), app.clone());
        let served = connection(protocols, client, visit.peer, app, self.shutdown.clone());
        async move {
            served.await;
            drop(visit);
        }
    }
}

/// One who came, and how to speak TLS with them where that is spoken.
type Client = (Tcp, Option<Acceptor>);

/// Each with its settings.
struct Protocols {
    http1: http1::Builder,
    settings: Settings,
}

impl Protocols {
    fn new(settings: Settings) -> Self {
        let mut http1 = http1::Builder::new();
        http1
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIMEOUT)
            .max_buf_size(MAX_HEADER_BYTES);
        Self { http1, settings }
    }
}

async fn connection(
    protocols: Arc<Protocols>,
    (tcp, tls): Client,
    peer: Peer,
    app: Router,
    shutdown: Shutdown,
) {
    let opened = select! {
        opened = Socket::open(tcp, tls) => opened,
        () = sleep(HEADER_TIMEOUT) => return,
        () = shutdown.told.cancelled() => return,
    };
    let Ok((stream, protocol)) = opened else {
        return;
    };
    let result: Result<(), Box<dyn Error>> = match protocol {
        Protocol::Http1 => {
            let served = http1(&protocols.http1, stream, peer, app, &shutdown);
            Box::pin(served).await.map_err(Into::into)
        }
        Protocol::Http2 => {
            let served = http2::serve(stream, peer, app, protocols.settings, &shutdown);
            Box::pin(served).await.map_err(Into::into)
        }
    };
    if let Err(error) = result {
        debug!(%error, "a connection ended");
    }
}

async fn http1(
    protocol: &http1::Builder,
    stream: Socket,
    peer: Peer,
    app: Router,
    shutdown: &Shutdown,
) -> hyper::Result<()> {
    let asked = Arc::new(AtomicBool::new(false));
    let leaving = Arc::new(Mutex::new(None));
    let service = {
        let (asked, leaving) = (asked.clone(), leaving.clone());
        service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(peer);
            asked.store(true, Ordering::Relaxed);
            let (answer, leaving) = (app.clone().oneshot(request), leaving.clone());
            async move {
                let mut response = answer.await?;
                let Some(left) = Leaving::of(&mut response) else {
                    return Ok::<_, Infallible>(response);
                };
                *lock(&leaving) = Some(left);
                pending().await
            }
        })
    };
    let mut connection = protocol.serve_connection(TokioIo::new(stream), service);
    let left = {
        let end = |c: Pin<&mut _>| http1::Connection::graceful_shutdown(c);
        let connection = run(
            Pin::new(&mut connection),
            end,
            &asked,
            shutdown.told.clone(),
        );
        let mut connection = pin!(connection);
        poll_fn(|cx| match connection.as_mut().poll(cx) {
            Poll::Ready(result) => Poll::Ready(result.map(|()| None)),
            Poll::Pending => match lock(&leaving).take() {
                Some(left) => Poll::Ready(Ok(Some(left))),
                None => Poll::Pending,
            },
        })
        .await?
    };
    if let Some(left) = left {
        let parts = connection.into_parts();
        // A copy of what was read already: the buffer itself is the server's.
        let read = parts.read_buf.to_vec();
        if let Some(serving) = left.open(parts.io.into_inner(), read).await {
            shutdown.tasks.spawn(serving.0);
        }
    }
    Ok(())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// To its end, or that of the gateway: then it begins no more streams, and
/// ends when those it has are over.
async fn run<C>(
    mut connection: Pin<&mut C>,
    end: impl FnOnce(Pin<&mut C>),
    was_asked: &AtomicBool,
    told: CancellationToken,
) -> hyper::Result<()>
where
    C: Future<Output = hyper::Result<()>>,
{
    select! {
        result = connection.as_mut() => return result,
        () = silence(was_asked) => return Ok(()),
        () = told.cancelled() => {}
    }
    if !was_asked.load(Ordering::Relaxed) {
        return Ok(());
    }
    end(connection.as_mut());
    connection.await
}

/// Returns when nothing was asked in time: hyper's own limit is for HTTP/1.
async fn silence(was_asked: &AtomicBool) {
    sleep(HEADER_TIMEOUT).await;
    if was_asked.load(Ordering::Relaxed) {
        std::future::pending().await
    }
}

/// The client was gone before it was accepted; the next may be well.
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
