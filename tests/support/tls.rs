//! A TLS client, and a folder with the files of a gateway that serves TLS.

use std::{io, net::SocketAddr, sync::Arc};

use rustls::{
    ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::certificates::{Authority, Issued, write};

/// The name in the gateway's certificate.
pub const HOST: &str = "pgfan.test";

/// The files that the gateway's settings name, and their authority.
pub struct Certificates {
    pub authority: Authority,
    folder: TempDir,
}

impl Certificates {
    pub fn new() -> Self {
        let certificates = Self {
            authority: Authority::new("good"),
            folder: TempDir::new().unwrap(),
        };
        certificates.put(&certificates.authority.server(&[HOST]));
        let ca = &certificates.authority.certificate;
        certificates.write("ca", ca);
        certificates
    }

    /// Replaces the certificate and key.
    pub fn put(&self, issued: &Issued) {
        self.write("cert", &issued.certificate);
        self.write("key", &issued.key);
    }

    pub fn write(&self, name: &str, text: &str) {
        write(self.folder.path(), name, text, 0o600);
    }

    /// Path of `cert`, `key`, `ca`, or another file in the folder.
    pub fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// Certificate and key as settings.
    pub fn settings(&self) -> [(&'static str, String); 2] {
        [
            ("tls-cert", self.path("cert")),
            ("tls-key", self.path("key")),
        ]
    }

    /// A client that trusts the authority, and has no certificate.
    pub fn client(&self) -> TlsClient {
        TlsClient::new(&self.authority, None)
    }
}

pub struct TlsClient {
    config: ClientConfig,
}

impl TlsClient {
    /// A client that trusts `authority`, and presents its own certificate.
    pub fn new(authority: &Authority, own: Option<&Issued>) -> Self {
        Self::with(&authority.certificate, own)
    }

    /// A client that trusts this certificate, and has none.
    pub fn trusting(certificate: &str) -> Self {
        Self::with(certificate, None)
    }

    /// A client that accepts any certificate and ignores dates.
    pub fn careless() -> Self {
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder = builder.with_safe_default_protocol_versions().unwrap();
        let builder = builder.dangerous();
        let builder = builder.with_custom_certificate_verifier(Arc::new(Careless));
        Self {
            config: builder.with_no_client_auth(),
        }
    }

    fn with(trusted: &str, own: Option<&Issued>) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(der(trusted)).unwrap();
        let provider = Arc::new(ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider);
        let config = config.with_safe_default_protocol_versions().unwrap();
        let config = config.with_root_certificates(roots);
        let config = match own {
            None => config.with_no_client_auth(),
            Some(own) => {
                let key = PrivateKeyDer::from_pem_slice(own.key.as_bytes()).unwrap();
                let chain = vec![der(&own.certificate)];
                config.with_client_auth_cert(chain, key).unwrap()
            }
        };
        Self { config }
    }

    /// Offers `protocol` (ALPN), if it is not empty.
    pub async fn connect(
        &self,
        address: SocketAddr,
        protocol: &str,
    ) -> io::Result<TlsStream<TcpStream>> {
        let socket = TcpStream::connect(address).await.unwrap();
        self.over(socket, protocol).await
    }

    pub async fn over(
        &self,
        socket: TcpStream,
        protocol: &str,
    ) -> io::Result<TlsStream<TcpStream>> {
        let mut config = self.config.clone();
        if !protocol.is_empty() {
            config.alpn_protocols = vec![protocol.into()];
        }
        let connector = TlsConnector::from(Arc::new(config));
        let name = ServerName::try_from(HOST).unwrap();
        let stream = connector.connect(name, socket).await?;
        let (_, session) = stream.get_ref();
        let agreed = session.alpn_protocol().unwrap_or_default();
        assert_eq!(agreed, protocol.as_bytes());
        Ok(stream)
    }
}

#[derive(Debug)]
struct Careless;

impl ServerCertVerifier for Careless {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let provider = ring::default_provider();
        provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// The first certificate of a PEM file.
pub fn der(pem: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()
}
