//! TLS on the port (RFC 8446, RFC 5246): its certificate, which may change
//! while it is served, and the handshake.

mod error;
mod files;
mod held;

use std::{
    fmt, io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
    time::{Duration, SystemTime},
};

use rustls::InvalidMessage;
use tokio::{
    task::{JoinHandle, spawn_blocking},
    time::{Instant, sleep, timeout},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tracing::debug;

pub use self::{error::TlsError, files::TlsFiles};
use self::{
    files::{ALPN_HTTP2, read},
    held::Held,
};
use super::tcp::{Protocol, Tcp};
use crate::{
    certificate::Certificate,
    turns::{PollTurns, Turns},
};

/// The files are looked at when a client comes, and no more often: looking is
/// three calls of stat(2).
const LOOK: Duration = Duration::from_secs(2);

/// How long who comes waits for that look. Files on a disk that hangs are no
/// reason to let nobody in: then it is the certificate of before.
const PATIENCE: Duration = Duration::from_secs(1);

/// Interval of reading the files while no client connects: otherwise the log and the
/// metrics would speak of a certificate that was renewed long ago.
const WATCH: Duration = Duration::from_secs(3600);

/// Interval of the log line for a certificate that has to be renewed.
const REMIND: Duration = Duration::from_secs(24 * 3600);

/// What the port speaks TLS with. Cheap to clone; all clones are the same.
///
/// Who comes gets what its files hold then, or, where they are being read just
/// then for another, what they held before; and who is connected stays. They
/// are looked at when somebody comes, by their time of change: that needs no
/// signal, no watcher that could miss how a tool replaces files, and nothing
/// while nobody comes.
#[derive(Clone)]
pub struct Tls(Arc<Mutex<Held>>);

/// Until it is dropped nobody else looks.
struct Looking(Tls);

impl Drop for Looking {
    fn drop(&mut self) {
        self.0.held().end_look();
    }
}

/// Without what the files hold.
impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.held().files().fmt(f)
    }
}

/// Does one handshake.
pub(in crate::transport) struct Acceptor(Tls);

/// Plain to who reads and writes it, encrypted on the wire.
pub(super) type Stream = Box<TlsStream<Tcp>>;

impl Tls {
    /// # Errors
    /// All that is wrong with the files.
    pub fn read(files: TlsFiles) -> Result<Self, Vec<TlsError>> {
        // Before they are read: what is written after that is another version.
        let seen = files.stamps();
        let found = read(&files)?;
        let turns = Turns::of_the_process().for_handshakes();
        let held = Held::new(files, seen, found, turns)?;
        Ok(Self(Arc::new(Mutex::new(held))))
    }

    /// From now on it is as `other`, which may have other files; a certificate
    /// that is valid is not replaced by one that is not.
    pub fn reload(&self, other: Self) {
        if Arc::ptr_eq(&self.0, &other.0) {
            return;
        }
        let other = other.held().clone();
        self.held().become_as(other);
    }

    /// When the certificate that is served ends, if it says so.
    pub fn expires(&self) -> Option<SystemTime> {
        Some(self.held().own().certificate()?.not_after())
    }

    /// The certificates of the server's file, its own first, and those of the
    /// clients' authorities.
    pub(crate) fn certificates(&self) -> [Vec<Option<Certificate>>; 2] {
        self.held().certificates()
    }

    /// Logs the certificate at first and, each day, that it has to be renewed.
    /// Never ends.
    pub async fn watch(self) {
        self.held().report();
        let mut reminded = Instant::now();
        loop {
            sleep(WATCH).await;
            if let Some(look) = self.look() {
                // A panic in it has been logged; the certificate stays.
                let _ = look.await;
            }
            if reminded.elapsed() >= REMIND {
                self.held().remind();
                reminded = Instant::now();
            }
        }
    }

    /// For a client that has come just now.
    pub(in crate::transport) fn acceptor(&self) -> Acceptor {
        Acceptor(self.clone())
    }

    /// What is served now, and the turns that handshakes take.
    async fn current(&self) -> (TlsAcceptor, PollTurns) {
        if let Some(look) = self.look() {
            let _ = timeout(PATIENCE, look).await;
        }
        let mut held = self.held();
        held.promote();
        (TlsAcceptor::from(held.config()), held.turns())
    }

    /// If a look at the files is due. It has a thread to itself, and nobody waits
    /// for the lock meanwhile: a disk may be slow.
    fn look(&self) -> Option<JoinHandle<()>> {
        let (files, before) = self.held().begin_look(LOOK)?;
        let looking = Looking(self.clone());
        Some(spawn_blocking(move || {
            let seen = files.stamps();
            let found = (seen != before).then(|| read(&files));
            let mut held = looking.0.held();
            if let Some(found) = found {
                held.learn(&files, before, seen, found);
            }
        }))
    }

    /// A panic under the lock would be a bug of ours; what it then holds is
    /// whole.
    fn held(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A handshake that has a [turn](Turns) for as long as it computes, and none
/// while it waits for its client. A crowd that comes waits for its turn.
struct InTurn<F> {
    handshake: F,
    turns: PollTurns,
}

impl<F: Future + Unpin> Future for InTurn<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let _turn = ready!(self.turns.poll_turn(cx));
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
