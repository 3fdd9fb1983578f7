//! Builds TLS connectors from the settings.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::{Resumption, WantsClientCert};
use rustls::crypto::ring;
use rustls::{ALL_VERSIONS, ClientConfig, ConfigBuilder};
use tokio_postgres::config::SslNegotiation;
use tokio_postgres_rustls::MakeRustlsConnect;

use super::error::{ConnInfoError, FileProblem};
use super::tls::{RootSource, SslMode, TlsSettings, Versions};
use super::tls_files::{Identity, IdentityFiles, Roots};
use super::verifier::{Check, ServerVerifier};

/// PostgreSQL's protocol name in ALPN.
/// <https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-SSL>
const ALPN_PROTOCOL: &[u8] = b"postgresql";

impl TlsSettings {
    /// Reads the files and builds a TLS connector. Must be called for each connection, so that
    /// renewed certificates are used.
    ///
    /// # Errors
    /// A file that is missing, malformed or, for the key, open to others.
    pub(super) fn connector(&self) -> Result<MakeRustlsConnect, ConnInfoError> {
        if self.mode == SslMode::Disable {
            return Self::unused_connector();
        }
        let identity = self
            .identity
            .as_ref()
            .map(IdentityFiles::read)
            .transpose()?
            .flatten();
        let mut config = self.config(self.check()?, identity)?;
        config.enable_sni = self.sni;
        // A resumed session skips the verification; PostgreSQL issues no tickets anyway.
        config.resumption = Resumption::disabled();
        if self.negotiation == SslNegotiation::Direct {
            config.alpn_protocols = vec![ALPN_PROTOCOL.to_vec()];
        }
        Ok(MakeRustlsConnect::new(config))
    }

    /// A connector for sessions without TLS, which still require one.
    ///
    /// # Errors
    /// None in practice; the type matches that of the other connectors.
    pub(super) fn unused_connector() -> Result<MakeRustlsConnect, ConnInfoError> {
        without_identity(ALL_VERSIONS, Check::Nothing).map(MakeRustlsConnect::new)
    }

    fn config(
        &self,
        check: Check,
        identity: Option<Identity>,
    ) -> Result<ClientConfig, ConnInfoError> {
        let Some(identity) = identity else {
            return without_identity(self.versions, check);
        };
        let builder = builder(self.versions, check)?;
        builder
            .with_client_auth_cert(identity.chain, identity.key)
            .map_err(|error| {
                ConnInfoError::file("sslcert", &identity.certificate_path, unfit(&error))
            })
    }

    /// The certificate check for this mode. `allow` and `prefer` verify nothing, even with a root
    /// file: an attacker who can forge a certificate can also refuse TLS, and an unverified
    /// session is still better than libpq's fallback to plain text.
    pub(super) fn check(&self) -> Result<Check, ConnInfoError> {
        match self.mode {
            SslMode::Disable | SslMode::Allow | SslMode::Prefer => Ok(Check::Nothing),
            SslMode::Require => Ok(self.read_roots()?.map_or(Check::Nothing, Check::Chain)),
            SslMode::VerifyCa => self.required_roots().map(Check::Chain),
            SslMode::VerifyFull => self.required_roots().map(Check::ChainAndName),
        }
    }

    fn required_roots(&self) -> Result<Roots, ConnInfoError> {
        let missing = || {
            let path = match &self.roots {
                RootSource::Default(Some(path)) => path.clone(),
                _ => PathBuf::from("~/.postgresql/root.crt"),
            };
            ConnInfoError::file("sslrootcert", &path, FileProblem::NoRoots)
        };
        self.read_roots()?.ok_or_else(missing)
    }

    /// Reads the roots; `None` if the default file does not exist.
    fn read_roots(&self) -> Result<Option<Roots>, ConnInfoError> {
        let roots = match &self.roots {
            RootSource::System => return Roots::system().map(Some),
            RootSource::Named(path) => Roots::read(path)?,
            RootSource::Default(Some(path)) if path.exists() => Roots::read(path)?,
            RootSource::Default(_) => return Ok(None),
        };
        match &self.default_revocation_list {
            Some(path) if path.exists() => Err(ConnInfoError::file(
                "sslcrl",
                path,
                "revocation lists are not supported, libpq would use this one",
            )),
            _ => Ok(Some(roots)),
        }
    }
}

/// Describes why two valid files do not match.
fn unfit(error: &rustls::Error) -> String {
    use rustls::Error::{InconsistentKeys, InvalidCertificate};
    match error {
        InconsistentKeys(_) => "the key of sslkey is not the key of its first certificate".into(),
        InvalidCertificate(_) => {
            "its first certificate is not an X.509 certificate of version 3".into()
        }
        other => other.to_string(),
    }
}

/// Names the cryptography provider explicitly, since the process-wide default may be another one
/// or missing.
fn builder(
    versions: Versions,
    check: Check,
) -> Result<ConfigBuilder<ClientConfig, WantsClientCert>, ConnInfoError> {
    let provider = Arc::new(ring::default_provider());
    let verifier = ServerVerifier::new(check, provider.signature_verification_algorithms);
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .map_err(|error| {
            ConnInfoError::file("ssl_min_protocol_version", Path::new(""), error.to_string())
        })?;
    Ok(builder
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier)))
}

fn without_identity(versions: Versions, check: Check) -> Result<ClientConfig, ConnInfoError> {
    Ok(builder(versions, check)?.with_no_client_auth())
}
