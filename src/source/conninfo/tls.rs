//! TLS according to libpq's settings: <https://www.postgresql.org/docs/current/libpq-ssl.html>
//!
//! Two rules are stricter than libpq's. A named root file must exist; libpq silently verifies
//! nothing in that case with `sslmode=require`. And host names are read only from a certificate's
//! subjectAltName, never from its CN.

use std::path::{Path, PathBuf};

use rustls::version::{TLS12, TLS13};
use rustls::{ALL_VERSIONS, SupportedProtocolVersion};
use tokio_postgres::config::SslNegotiation;

use super::error::{ConnInfoError, Mistakes};
use super::settings::Settings;
use super::tls_files::IdentityFiles;

pub(super) type Versions = &'static [&'static SupportedProtocolVersion];

static TLS_12_ONLY: [&SupportedProtocolVersion; 1] = [&TLS12];
static TLS_13_ONLY: [&SupportedProtocolVersion; 1] = [&TLS13];

/// libpq's six modes, from the weakest to the strongest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum SslMode {
    Disable,
    Allow,
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

const MODES: [(&str, SslMode); 6] = [
    ("disable", SslMode::Disable),
    ("allow", SslMode::Allow),
    ("prefer", SslMode::Prefer),
    ("require", SslMode::Require),
    ("verify-ca", SslMode::VerifyCa),
    ("verify-full", SslMode::VerifyFull),
];

/// Source of the trusted roots.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum RootSource {
    /// `sslrootcert=system`: the roots of the operating system.
    System,
    /// A file named in the settings.
    Named(PathBuf),
    /// `~/.postgresql/root.crt`, which need not exist; `None` without a home.
    Default(Option<PathBuf>),
}

/// The TLS settings; their files are read by [`TlsSettings::connector`].
#[derive(Debug)]
pub(super) struct TlsSettings {
    pub(super) mode: SslMode,
    pub(super) negotiation: SslNegotiation,
    pub(super) roots: RootSource,
    /// `~/.postgresql/root.crl`, which libpq would use if it exists; `None` without a home.
    pub(super) default_revocation_list: Option<PathBuf>,
    pub(super) identity: Option<IdentityFiles>,
    pub(super) sni: bool,
    pub(super) versions: Versions,
}

impl TlsSettings {
    /// Reads the settings; `None` after a mistake.
    pub(super) fn read(
        settings: &Settings,
        home: Option<&Path>,
        mistakes: &mut Mistakes,
    ) -> Option<Self> {
        let folder = home.map(|home| home.join(".postgresql"));
        let roots = root_source(settings, folder.as_deref());
        let mode = mistakes.catch(mode(settings, &roots));
        let negotiation = mistakes.catch(negotiation(settings, mode));
        let versions = mistakes.catch(versions(settings));
        let sni = mistakes.catch(settings.choice("sslsni", &[("0", false), ("1", true)]));
        Some(Self {
            mode: mode?,
            negotiation: negotiation?,
            roots,
            default_revocation_list: folder.as_ref().map(|folder| folder.join("root.crl")),
            identity: identity_files(settings, folder.as_deref()),
            sni: sni?.unwrap_or(true),
            versions: versions?,
        })
    }
}

fn root_source(settings: &Settings, folder: Option<&Path>) -> RootSource {
    match settings.text("sslrootcert") {
        Some("system") => RootSource::System,
        Some(path) => RootSource::Named(path.into()),
        None => RootSource::Default(folder.map(|folder| folder.join("root.crt"))),
    }
}

/// The `sslmode`. The system's roots sign certificates for every site of the world, so without the
/// name check they would prove nothing.
fn mode(settings: &Settings, roots: &RootSource) -> Result<SslMode, ConnInfoError> {
    let system = *roots == RootSource::System;
    let default = if system {
        SslMode::VerifyFull
    } else {
        SslMode::Prefer
    };
    let mode = settings.choice("sslmode", &MODES)?.unwrap_or(default);
    if system && mode != SslMode::VerifyFull {
        return Err(settings.broken("sslmode", "must be verify-full with sslrootcert=system"));
    }
    if matches!(roots, RootSource::Named(_)) && mode < SslMode::Require {
        tracing::warn!(
            "sslrootcert has no effect with an sslmode below require; verify-full would use it"
        );
    }
    Ok(mode)
}

/// The `sslnegotiation`. Direct TLS has no message by which a server could decline it, so a
/// fallback is impossible.
fn negotiation(
    settings: &Settings,
    mode: Option<SslMode>,
) -> Result<SslNegotiation, ConnInfoError> {
    let words = [
        ("postgres", SslNegotiation::Postgres),
        ("direct", SslNegotiation::Direct),
    ];
    let negotiation = settings
        .choice("sslnegotiation", &words)?
        .unwrap_or(SslNegotiation::Postgres);
    if negotiation == SslNegotiation::Direct && mode.is_some_and(|mode| mode < SslMode::Require) {
        return Err(settings.broken(
            "sslnegotiation",
            "must not be direct with an sslmode below require",
        ));
    }
    Ok(negotiation)
}

/// The protocol versions. TLS 1.2 and 1.3 are supported: they satisfy a lower minimum, but not a
/// lower maximum.
fn versions(settings: &Settings) -> Result<Versions, ConnInfoError> {
    let minima = [
        ("", false),
        ("TLSv1", false),
        ("TLSv1.1", false),
        ("TLSv1.2", false),
        ("TLSv1.3", true),
    ];
    let maxima = [("", false), ("TLSv1.2", true), ("TLSv1.3", false)];
    let only_13 = settings
        .choice("ssl_min_protocol_version", &minima)?
        .unwrap_or(false);
    let only_12 = settings
        .choice("ssl_max_protocol_version", &maxima)?
        .unwrap_or(false);
    match (only_13, only_12) {
        (false, false) => Ok(ALL_VERSIONS),
        (true, false) => Ok(&TLS_13_ONLY),
        (false, true) => Ok(&TLS_12_ONLY),
        (true, true) => Err(settings.broken(
            "ssl_min_protocol_version",
            "must not be above ssl_max_protocol_version",
        )),
    }
}

fn identity_files(settings: &Settings, folder: Option<&Path>) -> Option<IdentityFiles> {
    if settings.text("sslcertmode") == Some("disable") {
        return None;
    }
    let path = |keyword, default: &str| {
        let named = settings.text(keyword).map(PathBuf::from);
        named.or_else(|| folder.map(|folder| folder.join(default)))
    };
    Some(IdentityFiles {
        certificate: path("sslcert", "postgresql.crt")?,
        // Without a home this path does not exist, which gives an error: a named certificate is
        // not dropped.
        key: path("sslkey", "postgresql.key")
            .unwrap_or_else(|| "~/.postgresql/postgresql.key".into()),
        named: settings.text("sslcert").is_some(),
    })
}

#[cfg(test)]
mod tests;
