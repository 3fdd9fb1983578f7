//! TLS files: trusted roots, and the client's certificate with its key.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::error::{ConnInfoError, FileProblem};

use super::read_file;

/// The trusted root certificates, never empty.
#[derive(Debug)]
pub(super) struct Roots {
    pub(super) store: RootCertStore,
    /// The certificates of a file, which may include a server's own. Empty for the system's roots.
    pub(super) certificates: Vec<CertificateDer<'static>>,
}

impl Roots {
    /// Reads the PEM file of the setting `sslrootcert`.
    ///
    /// # Errors
    /// The file is unreadable, has no certificate, or one that cannot be a root.
    pub(super) fn read(path: &Path) -> Result<Self, ConnInfoError> {
        let certificates = certificates("sslrootcert", path)?;
        let mut store = RootCertStore::empty();
        for (number, certificate) in (1..).zip(&certificates) {
            store.add(certificate.clone()).map_err(|_| {
                let rule = format!("certificate {number} is not an X.509 certificate");
                ConnInfoError::file("sslrootcert", path, rule)
            })?;
        }
        Ok(Self {
            store,
            certificates,
        })
    }

    /// The roots of the operating system. A certificate that cannot be read is left out: then it
    /// is simply not trusted.
    ///
    /// # Errors
    /// No certificate could be loaded.
    pub(super) fn system() -> Result<Self, ConnInfoError> {
        let found = rustls_native_certs::load_native_certs();
        let mut store = RootCertStore::empty();
        store.add_parsable_certificates(found.certs);
        if store.is_empty() {
            let reasons: Vec<_> = found.errors.iter().map(ToString::to_string).collect();
            let text = format!("the system has no root certificates {}", reasons.join("; "));
            let path = Path::new("system");
            return Err(ConnInfoError::file("sslrootcert", path, text.trim_end()));
        }
        Ok(Self {
            store,
            certificates: Vec::new(),
        })
    }
}

/// Paths of the client's certificate and key.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct IdentityFiles {
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
    /// Whether the settings name the certificate: then it must exist.
    pub(super) named: bool,
}

/// The client's certificate chain, its own first, and its key.
pub(super) struct Identity {
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) key: PrivateKeyDer<'static>,
    pub(super) certificate_path: PathBuf,
}

impl IdentityFiles {
    /// Reads the files; `None` if the default certificate does not exist: then the client sends
    /// none.
    ///
    /// # Errors
    /// A named certificate that is missing, a certificate without key, a key open to others, an
    /// encrypted key.
    pub(super) fn read(&self) -> Result<Option<Identity>, ConnInfoError> {
        if !self.named && !self.certificate.exists() {
            return Ok(None);
        }
        let chain = certificates("sslcert", &self.certificate)?;
        let key = private_key(&self.key)
            .map_err(|problem| ConnInfoError::file("sslkey", &self.key, problem))?;
        Ok(Some(Identity {
            chain,
            key,
            certificate_path: self.certificate.clone(),
        }))
    }
}

pub(super) fn certificates(
    keyword: &'static str,
    path: &Path,
) -> Result<Vec<CertificateDer<'static>>, ConnInfoError> {
    let bytes = read_file(path).map_err(|error| ConnInfoError::file(keyword, path, error))?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    let certificates =
        certificates.map_err(|error| ConnInfoError::file(keyword, path, error.to_string()))?;
    match certificates.is_empty() {
        true => Err(ConnInfoError::file(
            keyword,
            path,
            "holds no PEM certificate",
        )),
        false => Ok(certificates),
    }
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, FileProblem> {
    let metadata = path.metadata()?;
    check_key_access(&metadata)?;
    let bytes = read_file(path)?;
    let contains = |word: &str| {
        bytes
            .windows(word.len())
            .any(|window| window == word.as_bytes())
    };
    if contains("ENCRYPTED") {
        return Err("an encrypted key is not supported, decrypt it".into());
    }
    PrivateKeyDer::from_pem_slice(&bytes).map_err(|_| "holds no PEM private key".into())
}

/// Checks the permissions of the key by libpq's rule: only the owner has access; a key of root,
/// such as a system's service key, may also be read by its group.
/// <https://www.postgresql.org/docs/current/libpq-ssl.html#LIBPQ-SSL-CLIENTCERT>
fn check_key_access(metadata: &Metadata) -> Result<(), &'static str> {
    if !metadata.is_file() {
        return Err("is not a plain file");
    }
    let forbidden = if metadata.uid() == 0 { 0o037 } else { 0o077 };
    if metadata.mode() & forbidden != 0 {
        return Err(
            "group or others have access, permissions must be 0600 or less (0640 if owned by root)",
        );
    }
    Ok(())
}
