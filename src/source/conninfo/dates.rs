//! Validity dates of the certificates in the settings. A server refuses a client certificate that
//! is not valid now. libpq also refuses such a root; rustls ignores the dates of roots.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustls::pki_types::CertificateDer;

use super::ConnInfo;
use super::endpoints::Endpoints;
use super::tls::{RootSource, SslMode};
use super::tls_files::certificates;
use crate::certificate::{Certificate, Standing};

/// One certificate of a file.
#[derive(Debug)]
pub(crate) struct Dated {
    /// The keyword that names the file.
    pub(crate) keyword: &'static str,
    path: PathBuf,
    /// Position in the file, from 1.
    number: usize,
    /// `None` if its dates cannot be read.
    pub(crate) certificate: Option<Certificate>,
}

impl Dated {
    /// The fault of its dates, if any.
    pub(crate) fn fault(&self, now: SystemTime) -> Option<(Standing, String)> {
        let certificate = self.certificate.as_ref()?;
        let fault = certificate.fault(now)?;
        Some((certificate.standing(now), format!("{self}: {fault}")))
    }
}

impl fmt::Display for Dated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, number, .. } = self;
        write!(f, "certificate {number} in {}", path.display())
    }
}

impl ConnInfo {
    /// The certificates of the client's file, its own first, and those of the named roots. Empty
    /// if TLS is not used, or if a file cannot be read, which [`ConnInfo::targets`] reports.
    pub(crate) fn certificates(&self) -> Vec<Dated> {
        let speaks_tls =
            self.tls.mode != SslMode::Disable && Endpoints::need_tls(&self.endpoints.in_order());
        if !speaks_tls {
            return Vec::new();
        }
        let own = self.tls.identity.as_ref().map(|files| &*files.certificate);
        let roots = match &self.tls.roots {
            _ if self.tls.mode < SslMode::Require => None,
            RootSource::Named(path) | RootSource::Default(Some(path)) => Some(&**path),
            RootSource::System | RootSource::Default(None) => None,
        };
        let of = |keyword, path: Option<&Path>| path.map(|path| dated(keyword, path));
        let files = [of("sslcert", own), of("sslrootcert", roots)];
        files.into_iter().flatten().flatten().collect()
    }
}

fn dated(keyword: &'static str, path: &Path) -> Vec<Dated> {
    let found = certificates(keyword, path).unwrap_or_default();
    let dated = |(number, der): (usize, CertificateDer<'_>)| Dated {
        keyword,
        path: path.into(),
        number,
        certificate: Certificate::of_der(&der),
    };
    (1..).zip(found).map(dated).collect()
}
