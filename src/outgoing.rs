//! A connection to a server of HTTP, with TLS where its URL says so, by the
//! roots that the system trusts: for the client, and for the keys of an
//! identity provider.

use std::{io, sync::Arc};

use rustls::{ClientConfig, RootCertStore, crypto::ring, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

/// Whatever carries bytes.
pub(crate) trait IoStream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> IoStream for T {}

/// How TLS is spoken with a server. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Tls(Arc<ClientConfig>);

/// There is nobody to trust.
#[derive(Debug, thiserror::Error)]
#[error("this machine has no certificates of authorities (SSL_CERT_FILE)")]
pub(crate) struct NoRoots;

impl Tls {
    /// `protocol` as it is negotiated (RFC 7301): `http/1.1` or `h2`.
    ///
    /// # Errors
    /// The system trusts nobody.
    pub(crate) fn new(protocol: &str) -> Result<Self, NoRoots> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() {
            return Err(NoRoots);
        }
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider);
        // The provider is the one whose protocols these are.
        let builder = builder.with_safe_default_protocol_versions();
        let builder = builder.map_err(|_| NoRoots)?;
        let mut config = builder.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
        Ok(Self(Arc::new(config)))
    }
}

/// Whether a certificate can be of this host.
pub(crate) fn is_name(host: &str) -> bool {
    ServerName::try_from(host).is_ok()
}

/// What is wrong with the other end, where its operator or its URL can mend it.
pub(crate) enum TlsFailure {
    /// It says something else.
    NoTls,
    /// Its certificate is of nobody who is trusted, or of another host.
    Untrusted,
}

impl TlsFailure {
    /// Of what [`dial`] ended with.
    pub(crate) fn of(error: &io::Error) -> Option<Self> {
        match error.get_ref()?.downcast_ref()? {
            rustls::Error::InvalidMessage(_) => Some(Self::NoTls),
            rustls::Error::InvalidCertificate(_) => Some(Self::Untrusted),
            _ => None,
        }
    }
}

/// Takes as long as it takes: whoever calls has a limit for more than this.
///
/// # Errors
/// There is no such name, nobody answers there, or it is not to be trusted.
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
