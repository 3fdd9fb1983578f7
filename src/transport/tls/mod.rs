//! TLS on the port (RFC 8446, RFC 5246): its certificate, which may change
//! while it is served, and the handshake.

mod files;

use std::{
    fmt, io,
    num::NonZero,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
    thread::available_parallelism,
    time::Duration,
};

use rustls::{InvalidMessage, ServerConfig};
use tokio::{
    sync::Semaphore,
    task::{JoinHandle, spawn_blocking},
    time::{Instant, timeout},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::sync::PollSemaphore;
use tracing::{debug, error, info};

use self::files::{ALPN_HTTP2, Stamps, read};
pub use self::files::{TlsError, TlsFiles};
use super::tcp::{Protocol, Tcp};

/// The files are looked at when a client comes, and no more often: looking is
/// three calls of stat(2).
const LOOK: Duration = Duration::from_secs(2);

/// How long who comes waits for that look. Files on a disk that hangs are no
/// reason to let nobody in: then it is the certificate of before.
const PATIENCE: Duration = Duration::from_secs(1);

/// What the port speaks TLS with. Cheap to clone; all clones are the same.
///
/// Who comes gets what its files hold then, or, where they are being read just
/// then for another, what they held before; and who is connected stays. They
/// are looked at when somebody comes, by their time of change: that needs no
/// signal, no watcher that could miss how a tool replaces files, and nothing
/// while nobody comes.
#[derive(Clone)]
pub struct Tls(Arc<Mutex<Held>>);

struct Held {
    files: TlsFiles,
    config: Arc<ServerConfig>,
    seen: Stamps,
    looked: Instant,
    /// One at a time, however long it takes.
    is_looking: bool,
    turns: PollSemaphore,
}

/// Until it is dropped nobody else looks.
struct Looking(Tls);

impl Drop for Looking {
    fn drop(&mut self) {
        let mut held = self.0.held();
        (held.is_looking, held.looked) = (false, Instant::now());
    }
}

/// Without what the files hold.
impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.held().files.fmt(f)
    }
}

/// Does one handshake.
pub(super) struct Acceptor(Tls);

/// Plain to who reads and writes it, encrypted on the wire.
pub(super) type Stream = Box<TlsStream<Tcp>>;

impl Tls {
    /// # Errors
    /// All that is wrong with the files.
    pub fn read(files: TlsFiles) -> Result<Self, Vec<TlsError>> {
        // Before they are read: what is written after that is another version.
        let seen = files.stamps();
        let held = Held {
            config: Arc::new(read(&files)?),
            files,
            seen,
            looked: Instant::now(),
            is_looking: false,
            turns: PollSemaphore::new(Arc::new(Semaphore::new(at_once()))),
        };
        Ok(Self(Arc::new(Mutex::new(held))))
    }

    /// From now on it is as `other`, which may have other files.
    pub fn reload(&self, other: Self) {
        if Arc::ptr_eq(&self.0, &other.0) {
            return;
        }
        let other = other.held();
        let mut held = self.held();
        held.files.clone_from(&other.files);
        held.config = Arc::clone(&other.config);
        held.seen = other.seen;
        held.looked = other.looked;
    }

    /// For a client that has come just now.
    pub(super) fn acceptor(&self) -> Acceptor {
        Acceptor(self.clone())
    }

    /// What is served now, and the turns that handshakes take.
    async fn current(&self) -> (TlsAcceptor, PollSemaphore) {
        if let Some(look) = self.look() {
            let _ = timeout(PATIENCE, look).await;
        }
        let held = self.held();
        (
            TlsAcceptor::from(Arc::clone(&held.config)),
            held.turns.clone(),
        )
    }

    /// If a look at the files is due. It has a thread to itself, and nobody waits
    /// for the lock meanwhile: a disk may be slow.
    fn look(&self) -> Option<JoinHandle<()>> {
        let mut held = self.held();
        if held.is_looking || held.looked.elapsed() < LOOK {
            return None;
        }
        held.is_looking = true;
        let looking = Looking(self.clone());
        let (files, before) = (held.files.clone(), held.seen);
        Some(spawn_blocking(move || {
            let seen = files.stamps();
            let found = (seen != before).then(|| read(&files));
            let mut held = looking.0.held();
            // What was set anew meanwhile was read later.
            if let Some(found) = found
                && held.seen == before
                && held.files == files
            {
                held.seen = seen;
                held.take(found);
            }
        }))
    }

    /// A panic under the lock would be a bug of ours; what it then holds is
    /// whole.
    fn held(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    /// Files that hold nothing good are left alone until they change again.
    fn take(&mut self, found: Result<ServerConfig, Vec<TlsError>>) {
        match found {
            Ok(config) => {
                self.config = Arc::new(config);
                info!(files = ?self.files, "the certificate has changed");
            }
            Err(errors) => {
                for error in errors {
                    error!(
                        setting = error.setting,
                        "the old certificate is kept: {error}"
                    );
                }
            }
        }
    }
}

/// Handshakes that are computed at one moment, by half of the cores: a signature
/// takes a millisecond of one (RSA), and costs whoever asks for it nothing. A
/// crowd that comes waits for its turn, and the readers have the other half.
fn at_once() -> usize {
    available_parallelism().map_or(1, NonZero::get).div_ceil(2)
}

/// A handshake that has a turn for as long as it computes, and none while it
/// waits for its client.
struct InTurn<F> {
    handshake: F,
    turns: PollSemaphore,
}

impl<F: Future + Unpin> Future for InTurn<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let _turn = ready!(self.turns.poll_acquire(cx));
        Pin::new(&mut self.handshake).poll(cx)
    }
}

/// Who spoke of no protocol speaks HTTP/1.1 (RFC 9113, section 3.2).
pub(super) async fn handshake(tcp: Tcp, acceptor: Acceptor) -> io::Result<(Stream, Protocol)> {
    let (tls, turns) = acceptor.0.current().await;
    let handshake = tls.accept(tcp);
    match (InTurn { handshake, turns }).await {
        Ok(stream) => {
            let (_, session) = stream.get_ref();
            let protocol = match session.alpn_protocol() {
                Some(ALPN_HTTP2) => Protocol::Http2,
                _ => Protocol::Http1,
            };
            Ok((Box::new(stream), protocol))
        }
        Err(error) => {
            match is_not_tls(&error) {
                true => debug!("plain text on a port that speaks TLS: dropped"),
                false => debug!(%error, "a TLS handshake failed"),
            }
            Err(error)
        }
    }
}

fn is_not_tls(error: &io::Error) -> bool {
    let error = error.get_ref().and_then(|error| error.downcast_ref());
    let none = rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType);
    error == Some(&none)
}
