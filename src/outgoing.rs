//! Connection to an HTTP server, with TLS if its URL requires it, verified with
//! the system's root certificates: for the client, and for the keys of an
//! identity provider.

use std::{io, sync::Arc};

use rustls::{ClientConfig, RootCertStore, crypto::ring, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

/// Byte stream, with or without TLS.
pub(crate) trait IoStream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> IoStream for T {}

/// TLS configuration for outgoing connections. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Tls(Arc<ClientConfig>);

/// The system has no root certificates.
#[derive(Debug, thiserror::Error)]
#[error("this machine has no certificates of authorities (SSL_CERT_FILE)")]
pub(crate) struct NoRoots;

impl Tls {
    /// `protocol` is the ALPN protocol (RFC 7301): `http/1.1` or `h2`.
    ///
    /// # Errors
    /// The system has no root certificates.
    pub(crate) fn new(protocol: &str) -> Result<Self, NoRoots> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() {
            return Err(NoRoots);
        }
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider);
        // The protocol versions are those of this provider.
        let builder = builder.with_safe_default_protocol_versions();
        let builder = builder.map_err(|_| NoRoots)?;
        let mut config = builder.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
        Ok(Self(Arc::new(config)))
    }
}

/// Whether the host can be named in a certificate.
pub(crate) fn is_name(host: &str) -> bool {
    ServerName::try_from(host).is_ok()
}

/// Fault of the other end that its operator, or a corrected URL, can fix.
pub(crate) enum TlsFailure {
    /// It does not speak TLS.
    NoTls,
    /// Its certificate is not from a trusted authority, or is for another host.
    Untrusted,
}

impl TlsFailure {
    /// The TLS failure in an error of [`dial`], if there is one.
    pub(crate) fn of(error: &io::Error) -> Option<Self> {
        match error.get_ref()?.downcast_ref()? {
            rustls::Error::InvalidMessage(_) => Some(Self::NoTls),
            rustls::Error::InvalidCertificate(_) => Some(Self::Untrusted),
            _ => None,
        }
    }
}

/// Connects without a time limit; the caller has one for more than this.
///
/// # Errors
/// The name does not resolve, the server does not answer, or is not trusted.
pub(crate) async fn dial(
    host: &str,
    port: u16,
    tls: Option<&Tls>,
) -> io::Result<Box<dyn IoStream>> {
    let socket = TcpStream::connect((host, port)).await?;
    socket.set_nodelay(true)?;
    let Some(Tls(config)) = tls else {
        return Ok(Box::new(socket));
    };
    let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
    let connector = TlsConnector::from(Arc::clone(config));
    Ok(Box::new(connector.connect(name, socket).await?))
}
