//! Errors of the files of a TLS server, with remedies.

use std::{
    io,
    path::{Path, PathBuf},
};

pub(super) const CERTIFICATE: &str = "tls-cert";
pub(super) const KEY: &str = "tls-key";
pub(super) const CLIENT_CA: &str = "tls-client-ca";

/// A file and the rule that it violates.
#[derive(Debug, thiserror::Error)]
#[error("{}: {rule}", path.display())]
pub struct TlsError {
    /// The setting that names the file.
    pub setting: &'static str,
    pub(crate) path: PathBuf,
    pub(crate) rule: Rule,
}

impl TlsError {
    pub(super) fn new(setting: &'static str, path: &Path, rule: Rule) -> Self {
        Self {
            setting,
            path: path.into(),
            rule,
        }
    }

    /// What to do about it.
    pub(crate) fn remedy(&self) -> &'static str {
        self.rule.remedy(self.setting)
    }
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum Rule {
    #[error("{0}")]
    Read(#[from] io::Error),
    #[error("holds no certificate as PEM")]
    NoCertificate,
    #[error("certificate {0} is not an X.509 certificate (RFC 5280)")]
    BadCertificate(usize),
    #[error("certificate 1 is of X.509 version 1, which TLS clients refuse: it names no host")]
    Version,
    #[error("certificate 1 is not the one of the key, but certificate {0} is")]
    Order(usize),
    #[error("holds no private key as PEM")]
    NoKey,
    #[error("an encrypted key is not supported, decrypt it")]
    Encrypted,
    #[error("holds a private key that is none of RSA, P-256, P-384 or Ed25519")]
    UnknownKey,
    #[error("not the key of the certificate in {}", .0.display())]
    AnotherKey(PathBuf),
    #[error("{0}")]
    Unfit(String),
}

impl Rule {
    fn remedy(&self, setting: &str) -> &'static str {
        match self {
            Self::Read(_) => "name a PEM file that holds it, and that the gateway's user can read",
            Self::NoCertificate if setting == CLIENT_CA => {
                "put the authority's certificate into it: -----BEGIN CERTIFICATE-----"
            }
            Self::NoCertificate => {
                "put the certificate into it, and below it those up to its root: -----BEGIN \
                 CERTIFICATE-----; of one in DER make it so: openssl x509 -inform DER -in FILE"
            }
            Self::BadCertificate(_) => {
                "look at it: openssl x509 -noout -text -in FILE; have it issued again"
            }
            Self::Version => {
                "have it issued with its host names (subjectAltName), which makes it version 3: \
                 openssl x509 -req … -extfile FILE, with subjectAltName=DNS:HOST in FILE"
            }
            Self::Order(_) => "put the server's own certificate first, then those up to its root",
            Self::NoKey => "put the key into it: -----BEGIN PRIVATE KEY-----",
            Self::Encrypted => "openssl pkey -in FILE -out NEW, and name NEW",
            Self::UnknownKey => {
                "have a certificate issued for such a key: openssl genpkey -algorithm EC -pkeyopt \
                 ec_paramgen_curve:P-256"
            }
            Self::AnotherKey(_) => {
                "give the two that belong together: `openssl x509 -noout -pubkey -in CERTIFICATE` \
                 and `openssl pkey -pubout -in KEY` print the same then"
            }
            Self::Unfit(_) => "give the certificates of the authorities that sign clients'",
        }
    }
}
