//! The files of a TLS server, and their parsed contents.

use std::{
    fs::metadata,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    RootCertStore, ServerConfig,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{NoServerSessionStorage, WebPkiClientVerifier, danger::ClientCertVerifier},
    sign::{CertifiedKey, SingleCertAndKey},
};

use super::error::{CERTIFICATE, CLIENT_CA, KEY, Rule, TlsError};
use crate::{auth::MAX_KEY_FILE, bounded_file, certificate::Certificate};

pub(super) const ALPN_HTTP2: &[u8] = b"h2";
const ALPN_HTTP1: &[u8] = b"http/1.1";

/// Paths of a TLS server's PEM files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The server's own certificate, then those up to its root.
    pub certificate: PathBuf,
    /// Private key of the server's own certificate.
    pub key: PathBuf,
    /// Authorities of client certificates. If set, clients must present a
    /// certificate.
    pub client_ca: Option<PathBuf>,
}

/// State of a file, to detect changes. The device and the inode change with a
/// rename or a retargeted link, the change time (ctime) with everything else,
/// including the mode. `None` if the file does not exist.
type Stamp = Option<(u64, u64, i64, i64, u64)>;

pub(super) type Stamps = [Stamp; 3];

impl TlsFiles {
    pub(super) fn stamps(&self) -> Stamps {
        let client_ca = self.client_ca.as_deref();
        [Some(&*self.certificate), Some(&*self.key), client_ca].map(|path| stamp(path?))
    }
}

fn stamp(path: &Path) -> Stamp {
    let file = metadata(path).ok()?;
    let changed = (file.ctime(), file.ctime_nsec());
    Some((file.dev(), file.ino(), changed.0, changed.1, file.len()))
}

/// The certificate chain of the server, with its key.
#[derive(Clone)]
pub(super) struct Own {
    key: Arc<CertifiedKey>,
    /// One for each certificate of the file, the server's own first.
    pub(super) certificates: Vec<Option<Certificate>>,
}

impl Own {
    /// The server's own, if it can be parsed (RFC 5280).
    pub(super) fn certificate(&self) -> Option<&Certificate> {
        self.certificates.first()?.as_ref()
    }

    pub(super) fn is(&self, other: &Self) -> bool {
        self.key.cert == other.key.cert
    }
}

/// The authorities whose client certificates are accepted.
#[derive(Clone)]
pub(super) struct Clients {
    verifier: Arc<dyn ClientCertVerifier>,
    pub(super) authorities: Vec<Option<Certificate>>,
}

/// The contents of all files.
#[derive(Clone)]
pub(super) struct Found {
    pub(super) own: Own,
    pub(super) clients: Option<Clients>,
}

pub(super) fn read(files: &TlsFiles) -> Result<Found, Vec<TlsError>> {
    let provider = Arc::new(ring::default_provider());
    let chain = certificates(CERTIFICATE, &files.certificate);
    let key = private_key(&files.key);
    let clients = files
        .client_ca
        .as_deref()
        .map(|path| clients(path, &provider))
        .transpose();
    match (chain, key, clients) {
        (Ok(chain), Ok(key), Ok(clients)) => {
            let own = own(files, chain, key, &provider).map_err(|error| vec![error])?;
            Ok(Found { own, clients })
        }
        (chain, key, clients) => {
            let errors = [chain.err(), key.err(), clients.err()];
            Err(errors.into_iter().flatten().collect())
        }
    }
}

impl Found {
    /// A configuration without session resumption: a resumed session would save a
    /// signature, but its certificate would not be checked again.
    pub(super) fn config(&self) -> Result<ServerConfig, rustls::Error> {
        let provider = Arc::new(ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider);
        let builder = builder.with_safe_default_protocol_versions()?;
        let builder = match &self.clients {
            Some(clients) => builder.with_client_cert_verifier(Arc::clone(&clients.verifier)),
            None => builder.with_no_client_auth(),
        };
        let key = CertifiedKey::clone(&self.own.key);
        let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(key)));
        config.alpn_protocols = vec![ALPN_HTTP2.to_vec(), ALPN_HTTP1.to_vec()];
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(config)
    }
}

/// Checks that the certificates and the key belong together; each file is valid by
/// itself.
fn own(
    files: &TlsFiles,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    provider: &CryptoProvider,
) -> Result<Own, TlsError> {
    let read: Vec<_> = chain.iter().map(|der| Certificate::of_der(der)).collect();
    let path = files.certificate.as_path();
    if read[0].as_ref().is_some_and(|own| !own.is_version_3()) {
        return Err(TlsError::new(CERTIFICATE, path, Rule::Version));
    }
    let key = provider.key_provider.load_private_key(key);
    let key = key.map_err(|_| TlsError::new(KEY, &files.key, Rule::UnknownKey))?;
    let key = CertifiedKey::new(chain, key);
    let rule = match key.keys_match() {
        // A kind of key whose public half is unknown is only proven in use.
        Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => {
            return Ok(Own {
                key: Arc::new(key),
                certificates: read,
            });
        }
        Err(rustls::Error::InconsistentKeys(_)) => match place(key) {
            Some(number) => return Err(TlsError::new(CERTIFICATE, path, Rule::Order(number))),
            None => Rule::AnotherKey(path.into()),
        },
        Err(_) => return Err(TlsError::new(CERTIFICATE, path, Rule::BadCertificate(1))),
    };
    Err(TlsError::new(KEY, &files.key, rule))
}

/// Number, from 1, of the other certificate that the key belongs to: the chain is
/// in the wrong order.
fn place(mut key: CertifiedKey) -> Option<usize> {
    let certificates = std::mem::take(&mut key.cert);
    let mut others = (1..).zip(certificates).skip(1);
    let place = others.find(|(_, other)| {
        key.cert = vec![other.clone()];
        key.keys_match().is_ok()
    });
    place.map(|(number, _)| number)
}

fn certificates(
    setting: &'static str,
    path: &Path,
) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let read = || {
        let bytes = bounded_file::read(path, MAX_KEY_FILE)?;
        let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
        match certificates {
            Ok(certificates) if !certificates.is_empty() => Ok(certificates),
            _ => Err(Rule::NoCertificate),
        }
    };
    read().map_err(|rule| TlsError::new(setting, path, rule))
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let read = || {
        let bytes = bounded_file::read(path, MAX_KEY_FILE)?;
        let encrypted = b"ENCRYPTED";
        if bytes.windows(encrypted.len()).any(|part| part == encrypted) {
            return Err(Rule::Encrypted);
        }
        PrivateKeyDer::from_pem_slice(&bytes).map_err(|_| Rule::NoKey)
    };
    read().map_err(|rule| TlsError::new(KEY, path, rule))
}

fn clients(path: &Path, provider: &Arc<CryptoProvider>) -> Result<Clients, TlsError> {
    let mut roots = RootCertStore::empty();
    let mut authorities = Vec::new();
    for (number, certificate) in (1..).zip(certificates(CLIENT_CA, path)?) {
        authorities.push(Certificate::of_der(&certificate));
        roots
            .add(certificate)
            .map_err(|_| TlsError::new(CLIENT_CA, path, Rule::BadCertificate(number)))?;
    }
    let provider = Arc::clone(provider);
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    let verifier = builder.build();
    let verifier =
        verifier.map_err(|error| TlsError::new(CLIENT_CA, path, Rule::Unfit(error.to_string())))?;
    Ok(Clients {
        verifier,
        authorities,
    })
}
