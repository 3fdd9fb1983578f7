//! TLS on a listener (RFC 8446, RFC 5246): the handshake, and a certificate that is
//! reloaded while it is served.

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

/// Minimum interval of checks of the files, which are made when a client connects.
/// A check is three calls of stat(2).
const LOOK: Duration = Duration::from_secs(2);

/// How long a new client waits for that check. A disk that hangs must not block
/// clients: they get the previous certificate.
const PATIENCE: Duration = Duration::from_secs(1);

/// Interval of reading the files while no client connects: otherwise the log and
/// the metrics would report a certificate that was renewed long ago.
const WATCH: Duration = Duration::from_secs(3600);

/// Interval of the log line for a certificate that has to be renewed.
const REMIND: Duration = Duration::from_secs(24 * 3600);

/// TLS configuration of a listener. Cheap to clone; all clones share one state.
///
/// A new client gets the current contents of the files, or the previous ones if the
/// files are being read for another client. Existing connections are unaffected. The
/// files are checked when a client connects, by their change time: that needs no
/// signal, no watcher that could miss how a tool replaces files, and costs nothing
/// while no client connects.
#[derive(Clone)]
pub struct Tls(Arc<Mutex<Held>>);

/// Guard of a check: no other check begins until it is dropped.
struct Looking(Tls);

impl Drop for Looking {
    fn drop(&mut self) {
        self.0.held().end_look();
    }
}

/// Prints the paths only, not the contents.
impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.held().files().fmt(f)
    }
}

/// Does one handshake.
pub(in crate::transport) struct Acceptor(Tls);

/// Decrypted stream of a TLS connection.
pub(super) type Stream = Box<TlsStream<Tcp>>;

impl Tls {
    /// # Errors
    /// All errors of the files.
    pub fn read(files: TlsFiles) -> Result<Self, Vec<TlsError>> {
        // Before the files are read: a later write then counts as a change.
        let seen = files.stamps();
        let found = read(&files)?;
        let turns = Turns::of_the_process().for_handshakes();
        let held = Held::new(files, seen, found, turns)?;
        Ok(Self(Arc::new(Mutex::new(held))))
    }

    /// Takes over the files and certificates of `other`. An invalid certificate
    /// does not replace a valid one.
    pub fn reload(&self, other: Self) {
        if Arc::ptr_eq(&self.0, &other.0) {
            return;
        }
        let other = other.held().clone();
        self.held().become_as(other);
    }

    /// Expiry of the served certificate, if its dates can be read.
    pub fn expires(&self) -> Option<SystemTime> {
        Some(self.held().own().certificate()?.not_after())
    }

    /// The certificates of the server's file, its own first, and those of the
    /// client authorities.
    pub(crate) fn certificates(&self) -> [Vec<Option<Certificate>>; 2] {
        self.held().certificates()
    }

    /// Logs the certificate at first and, once a day, that it has to be renewed.
    /// Never returns.
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

    /// For a client that has just connected.
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

    /// Starts a check of the files, if one is due. It runs on a blocking thread and
    /// does not hold the lock while it reads: a disk may be slow.
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

    /// A panic under the lock would be a bug of ours; the state is consistent even
    /// then.
    fn held(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A handshake that holds a [permit](Turns) while it computes, and none while it
/// waits for its client. In a burst of clients, handshakes queue for permits.
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

/// A client that negotiates no protocol speaks HTTP/1.1 (RFC 9113, section 3.2).
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
