//! The files of a TLS server, and what is made of them.

use std::{
    fs::metadata,
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    RootCertStore, ServerConfig,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{NoServerSessionStorage, WebPkiClientVerifier, danger::ClientCertVerifier},
};

use crate::auth::read_small_file;

pub(super) const ALPN_HTTP2: &[u8] = b"h2";
const ALPN_HTTP1: &[u8] = b"http/1.1";

const CERTIFICATE: &str = "tls-cert";
const KEY: &str = "tls-key";
const CLIENT_CA: &str = "tls-client-ca";

/// Where a server's certificate lies, as PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The server's own certificate, then those up to its root.
    pub certificate: PathBuf,
    /// Of the first of them.
    pub key: PathBuf,
    /// Who signs the certificates that clients must have then.
    pub client_ca: Option<PathBuf>,
}

/// One file, and the rule against which it is.
#[derive(Debug, thiserror::Error)]
#[error("{}: {rule}", path.display())]
pub struct TlsError {
    /// The one that names the file.
    pub setting: &'static str,
    pub(crate) path: PathBuf,
    pub(crate) rule: Rule,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum Rule {
    #[error("{0}")]
    Read(#[from] io::Error),
    #[error("holds no certificate as PEM")]
    NoCertificate,
    #[error("certificate {0}: {1}")]
    BadCertificate(usize, rustls::Error),
    #[error("holds no private key as PEM")]
    NoKey,
    #[error("an encrypted key is not supported, decrypt it")]
    Encrypted,
    #[error("not the key of the certificate in {}", .0.display())]
    AnotherKey(PathBuf),
    #[error("{0}")]
    Unfit(String),
}

/// Says when a file was changed: its inode tells of a rename or a link that leads
/// elsewhere, its time of change of everything else, its mode too. None for a
/// file that is not there.
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

/// A configuration that has no memory of its clients: a resumed session would
/// save a signature, and be one whose certificate nobody looks at.
pub(super) fn read(files: &TlsFiles) -> Result<ServerConfig, Vec<TlsError>> {
    let provider = Arc::new(ring::default_provider());
    let chain = certificates(CERTIFICATE, &files.certificate);
    let key = private_key(&files.key);
    let verifier = files
        .client_ca
        .as_deref()
        .map(|path| verifier(path, &provider))
        .transpose();
    let (chain, key, verifier) = match (chain, key, verifier) {
        (Ok(chain), Ok(key), Ok(verifier)) => (chain, key, verifier),
        (chain, key, verifier) => {
            let errors = [chain.err(), key.err(), verifier.err()];
            return Err(errors.into_iter().flatten().collect());
        }
    };
    let unfit = |error| vec![unfit(files, error)];
    let builder = ServerConfig::builder_with_provider(provider);
    let builder = builder.with_safe_default_protocol_versions();
    let builder = builder.map_err(unfit)?;
    let builder = match verifier {
        Some(verifier) => builder.with_client_cert_verifier(verifier),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_single_cert(chain, key).map_err(unfit)?;
    config.alpn_protocols = vec![ALPN_HTTP2.to_vec(), ALPN_HTTP1.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

/// Each file is good by itself: they do not go together.
fn unfit(files: &TlsFiles, error: rustls::Error) -> TlsError {
    let certificate = files.certificate.as_path();
    match error {
        rustls::Error::InconsistentKeys(_) => {
            problem(KEY, &files.key, Rule::AnotherKey(certificate.into()))
        }
        rustls::Error::InvalidCertificate(_) => {
            problem(CERTIFICATE, certificate, Rule::BadCertificate(1, error))
        }
        other => problem(KEY, &files.key, Rule::Unfit(other.to_string())),
    }
}

fn certificates(
    setting: &'static str,
    path: &Path,
) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let read = || {
        let bytes = read_small_file(path)?;
        let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
        match certificates {
            Ok(certificates) if !certificates.is_empty() => Ok(certificates),
            _ => Err(Rule::NoCertificate),
        }
    };
    read().map_err(|rule| problem(setting, path, rule))
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let read = || {
        let bytes = read_small_file(path)?;
        let encrypted = b"ENCRYPTED";
        if bytes.windows(encrypted.len()).any(|part| part == encrypted) {
            return Err(Rule::Encrypted);
        }
        PrivateKeyDer::from_pem_slice(&bytes).map_err(|_| Rule::NoKey)
    };
    read().map_err(|rule| problem(KEY, path, rule))
}

fn verifier(
    path: &Path,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let mut roots = RootCertStore::empty();
    for (number, certificate) in (1..).zip(certificates(CLIENT_CA, path)?) {
        roots.add(certificate).map_err(|error| {
            let rule = Rule::BadCertificate(number, error);
            problem(CLIENT_CA, path, rule)
        })?;
    }
    let provider = Arc::clone(provider);
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    builder
        .build()
        .map_err(|error| problem(CLIENT_CA, path, Rule::Unfit(error.to_string())))
}

fn problem(setting: &'static str, path: &Path, rule: Rule) -> TlsError {
    TlsError {
        setting,
        path: path.into(),
        rule,
    }
}
