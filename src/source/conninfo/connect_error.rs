//! Errors of opening a session, each complete in one line: tokio-postgres alone prints "db error".

use std::error::Error as _;
use std::io;
use std::time::Duration;

use rustls::CertificateError;
use thiserror::Error;
use tokio_postgres::error::{DbError, SqlState};

use crate::text::Printable;

/// The error of opening a session on one host. The text is complete, so it has no `source`.
#[derive(Debug, Error)]
pub enum ConnectError {
    /// Neither a session nor a refusal within the time limit.
    #[error("{target}: no session within {limit:?} (connect_timeout)")]
    Timeout {
        /// Host, port and database.
        target: String,
        /// The setting `connect_timeout`.
        limit: Duration,
    },
    /// The only attempt failed.
    #[error("{target}: {}", explain(.error))]
    Failed {
        /// Host, port and database.
        target: String,
        /// The error of the attempt.
        error: tokio_postgres::Error,
    },
    /// `sslmode` allowed two attempts, with TLS and without, and both failed.
    #[error("{target}: {}; then the other way about TLS: {}", explain(.first), explain(.second))]
    BothWays {
        /// Host, port and database.
        target: String,
        /// The error with TLS for `prefer`, without for `allow`.
        first: tokio_postgres::Error,
        /// The error without TLS for `prefer`, with for `allow`.
        second: tokio_postgres::Error,
    },
}

impl ConnectError {
    /// The SQLSTATE, if the server refused the session; of two refusals the second.
    #[must_use]
    pub fn code(&self) -> Option<&SqlState> {
        match self {
            Self::Timeout { .. } => None,
            Self::Failed { error, .. } => error.code(),
            Self::BothWays { first, second, .. } => second.code().or_else(|| first.code()),
        }
    }

    /// Whether libpq would not try the remaining hosts: it stops after a server's refusal, such as
    /// a wrong password, unless that server is only starting up or shutting down (`57P03`).
    /// <https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-MULTIPLE-HOSTS>
    #[must_use]
    pub fn ends_search(&self) -> bool {
        self.code()
            .is_some_and(|code| *code != SqlState::CANNOT_CONNECT_NOW)
    }
}

/// All causes of an error, with advice if the cause is a known one.
pub(super) fn explain(error: &tokio_postgres::Error) -> String {
    if let Some(refusal) = error.as_db_error() {
        return explain_refusal(refusal);
    }
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    match error.source().and_then(certificate_error).and_then(advice) {
        Some(advice) => format!("{text} ({advice})"),
        None => text,
    }
}

fn explain_refusal(refusal: &DbError) -> String {
    let mut text = format!(
        "{} {}: {}",
        refusal.severity(),
        refusal.code().code(),
        Printable(refusal.message())
    );
    for more in [refusal.detail(), refusal.hint()].into_iter().flatten() {
        text = format!("{text} ({})", Printable(more));
    }
    text
}

/// The certificate error of rustls, which is wrapped in an I/O error.
fn certificate_error<'a>(
    cause: &'a (dyn std::error::Error + 'static),
) -> Option<&'a CertificateError> {
    let inner = cause.downcast_ref::<io::Error>()?.get_ref()?;
    match inner.downcast_ref::<rustls::Error>()? {
        rustls::Error::InvalidCertificate(error) => Some(error),
        _ => None,
    }
}

fn advice(error: &CertificateError) -> Option<&'static str> {
    match error {
        CertificateError::UnknownIssuer => Some("no certificate of sslrootcert has signed it"),
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            Some("names are read from subjectAltName, not from CN; verify-ca accepts any name")
        }
        CertificateError::Other(other) if other.to_string() == "CaUsedAsEndEntity" => Some(
            "a CA certificate serves only as its own root: put this very certificate into sslrootcert",
        ),
        _ => None,
    }
}
