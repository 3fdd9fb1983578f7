//! A connection to a gateway, with TLS where its URL says so.

use std::{io, sync::Arc, time::Duration};

use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{InvalidDnsNameError, ServerName},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;

use super::{address::Address, ended::Ended};

/// Name, TCP and TLS together: as long as PostgreSQL's clients are given here.
const LIMIT: Duration = Duration::from_secs(10);

/// Whatever carries bytes.
pub(super) trait Carrier: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Carrier for T {}

#[derive(Debug, thiserror::Error)]
enum DialError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    Name(#[from] InvalidDnsNameError),
    #[error("{0}")]
    Tls(#[from] rustls::Error),
    #[error("this machine has no certificates of authorities (SSL_CERT_FILE)")]
    NoRoots,
}

/// `protocol` as TLS negotiates it (RFC 7301): `http/1.1` or `h2`.
pub(super) async fn dial(address: &Address, protocol: &str) -> Result<Box<dyn Carrier>, Ended> {
    let dialled = timeout(LIMIT, connect(address, protocol)).await;
    let reason = match dialled {
        Ok(Ok(carrier)) => return Ok(carrier),
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("no connection within {LIMIT:?}"),
    };
    Err(Ended::unreachable(format!("{address}: {reason}")))
}

async fn connect(address: &Address, protocol: &str) -> Result<Box<dyn Carrier>, DialError> {
    let socket = TcpStream::connect((address.host.as_str(), address.port)).await?;
    socket.set_nodelay(true)?;
    if !address.is_tls {
        return Ok(Box::new(socket));
    }
    let name = ServerName::try_from(address.host.clone())?;
    let connector = TlsConnector::from(Arc::new(configuration(protocol)?));
    Ok(Box::new(connector.connect(name, socket).await?))
}

fn configuration(protocol: &str) -> Result<ClientConfig, DialError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        return Err(DialError::NoRoots);
    }
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider);
    let mut configuration = builder
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    configuration.alpn_protocols = vec![protocol.as_bytes().to_vec()];
    Ok(configuration)
}
