//! TLS settings of the port, which are only valid together.

use super::{Origins, mistakes::Mistake, rule::of_file};
use crate::transport::{Tls, TlsError, TlsFiles};

/// The paths while the settings are read.
#[derive(Default)]
pub(super) struct TlsSettings {
    pub(super) certificate: Option<String>,
    pub(super) key: Option<String>,
    pub(super) client_ca: Option<String>,
}

impl TlsSettings {
    /// `None` without TLS, and after a mistake.
    pub(super) fn read(self, given: &Origins, mistakes: &mut Vec<Mistake>) -> Option<Tls> {
        let needs = |setting: &str, rule| {
            let mistake = Mistake::new(&given[setting], rule);
            mistake.with_remedy("give the certificate and its key, or neither")
        };
        let files = match (self.certificate, self.key, self.client_ca) {
            (Some(certificate), Some(key), client_ca) => TlsFiles {
                certificate: certificate.into(),
                key: key.into(),
                client_ca: client_ca.map(Into::into),
            },
            (certificate, key, client_ca) => {
                let certificate = certificate.map(|_| needs("tls-cert", "needs --tls-key too"));
                let key = key.map(|_| needs("tls-key", "needs --tls-cert too"));
                let rule = "needs --tls-cert and --tls-key too";
                let client_ca = client_ca.map(|_| needs("tls-client-ca", rule));
                mistakes.extend([certificate, key, client_ca].into_iter().flatten());
                return None;
            }
        };
        let named = |error: TlsError| {
            let rule = of_file(&error.path.to_string_lossy(), &error.rule);
            Mistake::new(&given[error.setting], rule).with_remedy(error.remedy())
        };
        let read = Tls::read(files);
        read.map_err(|errors| mistakes.extend(errors.into_iter().map(named)))
            .ok()
    }
}
