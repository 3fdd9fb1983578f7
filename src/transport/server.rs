//! The accept loop, and the limits of one connection.

use std::{
    convert::Infallible,
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{Router, http::Request};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::conn::auto::Builder,
};
use socket2::SockRef;
use tokio::{
    net::{TcpListener, TcpStream},
    select,
    time::{sleep, timeout},
};
use tokio_io_timeout::TimeoutStream;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;
use tracing::{debug, warn};

use super::{
    admission::Settings,
    descriptors::{Descriptors, Place},
    http::full,
    uptake::{Streams, Watched},
};
use crate::shutdown::Shutdown;

/// A client sends its first request within this time, and each head in so much,
/// or is dropped.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// Room for the head of a request, with a cursor of any sane length; more is
/// answered 431.
const MAX_HEADER_BYTES: usize = 32 << 10;

/// Streams on one HTTP/2 connection. At the limit the client waits with the
/// next one; hyper's own default is 200.
const MAX_STREAMS: u32 = 1000;

/// How long one who comes when there is no room may take to be told so.
const FAREWELL: Duration = Duration::from_secs(2);

/// Out of file descriptors, accepting again at once would only spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Accepts until the end begins. Its connections end when every reader was
/// told, and are waited for with the rest.
pub async fn serve(listener: TcpListener, app: Router, settings: Settings, shutdown: &Shutdown) {
    let server = Server {
        app,
        full: full(),
        descriptors: Descriptors::claim(),
        settings,
        builder: builder(settings),
        shutdown,
    };
    loop {
        let accepted = select! {
            accepted = listener.accept() => accepted,
            () = shutdown.begun.cancelled() => return,
        };
        match accepted.and_then(|(stream, _)| server.receive(stream)) {
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
    descriptors: Descriptors,
    settings: Settings,
    builder: Builder<Streams>,
    shutdown: &'a Shutdown,
}

impl Server<'_> {
    fn receive(&self, stream: TcpStream) -> io::Result<()> {
        let place = self.descriptors.place(&stream);
        let stream = prepare(stream, self.settings)?;
        let tasks = &self.shutdown.tasks;
        match place {
            Place::Free => drop(tasks.spawn(self.connection(stream, &self.app))),
            Place::Full => {
                let farewell = timeout(FAREWELL, self.connection(stream, &self.full));
                drop(tasks.spawn(farewell));
            }
            Place::Crowded => drop(stream),
        }
        Ok(())
    }

    fn connection(&self, stream: Stream, app: &Router) -> impl Future<Output = ()> + Send + use<> {
        let (builder, app) = (self.builder.clone(), app.clone());
        connection(builder, stream, app, self.shutdown.told.clone())
    }
}

fn builder(settings: Settings) -> Builder<Streams> {
    let limit = settings.write_timeout;
    let mut builder = Builder::new(Streams { limit });
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(MAX_HEADER_BYTES);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(settings.keepalive)
        .keep_alive_timeout(settings.write_timeout)
        .max_header_list_size(MAX_HEADER_BYTES as u32)
        .max_concurrent_streams(MAX_STREAMS);
    builder
}

type Stream = std::pin::Pin<Box<TimeoutStream<TcpStream>>>;

/// Events are sent at once, and a client that is gone, or takes nothing, is
/// noticed within `write_timeout`: by the kernel where its packets are not
/// acknowledged, by us where its window stays shut.
fn prepare(stream: TcpStream, settings: Settings) -> io::Result<Stream> {
    stream.set_nodelay(true)?;
    SockRef::from(&stream).set_tcp_user_timeout(Some(settings.write_timeout))?;
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(settings.write_timeout));
    Ok(Box::pin(stream))
}

async fn connection(
    builder: Builder<Streams>,
    stream: Stream,
    app: Router,
    told: CancellationToken,
) {
    let asked = Arc::new(AtomicBool::new(false));
    let was_asked = Arc::clone(&asked);
    let service = service_fn(move |request: Request<Incoming>| {
        asked.store(true, Ordering::Relaxed);
        let answer = app.clone().oneshot(request);
        async move { Ok::<_, Infallible>(answer.await?.map(Watched::new)) }
    });
    let io = TokioIo::new(stream);
    let connection = builder.serve_connection_with_upgrades(io, service);
    tokio::pin!(connection);
    let result = select! {
        result = connection.as_mut() => result,
        () = silence(&was_asked) => return,
        () = told.cancelled() => {
            if !was_asked.load(Ordering::Relaxed) {
                return;
            }
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = result {
        debug!(%error, "a connection ended");
    }
}

/// Returns when nothing was asked in time. hyper's own limit begins with the
/// first line of HTTP/1, and there is none before it knows the protocol.
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
