//! TLS on the port (RFC 8446, RFC 5246): its certificate, and the handshake.

mod files;

use std::{fmt, io, sync::Arc};

use rustls::{InvalidMessage, ServerConfig};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tracing::debug;

use self::files::{ALPN_HTTP2, read};
pub use self::files::{TlsError, TlsFiles};
use super::tcp::{Protocol, Tcp};

/// What the port speaks TLS with.
pub struct Tls {
    files: TlsFiles,
    config: Arc<ServerConfig>,
}

/// Without what the files hold.
impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.files.fmt(f)
    }
}

/// Does one handshake.
pub(super) type Acceptor = TlsAcceptor;

/// Plain to who reads and writes it, encrypted on the wire.
pub(super) type Stream = Box<TlsStream<Tcp>>;

impl Tls {
    /// # Errors
    /// All that is wrong with the files.
    pub fn read(files: TlsFiles) -> Result<Self, Vec<TlsError>> {
        Ok(Self {
            config: Arc::new(read(&files)?),
            files,
        })
    }

    /// For a client that has come just now.
    pub(super) fn acceptor(&self) -> Acceptor {
        TlsAcceptor::from(Arc::clone(&self.config))
    }
}

/// Who spoke of no protocol speaks HTTP/1.1 (RFC 9113, section 3.2).
pub(super) async fn handshake(tcp: Tcp, acceptor: Acceptor) -> io::Result<(Stream, Protocol)> {
    match acceptor.accept(tcp).await {
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
