//! libpq's connection settings: the same string, files and variables lead to the same server as
//! with `psql`.
//!
//! tokio-postgres supports a part of the connection string and nothing else (no environment,
//! service file, password file, or most of `sslmode`), so all of it is read here and passed on
//! resolved. <https://www.postgresql.org/docs/current/libpq-connect.html>

mod connect;
mod connect_error;
mod dates;
mod endpoints;
mod error;
mod foreign;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod key_value;
mod keywords;
mod pair;
mod passfile;
mod service;
mod session;
mod settings;
mod socket_options;
mod system_user;
mod target;
mod tls;
mod tls_connector;
mod tls_files;
mod uri;
mod values;
mod verifier;

use std::{fmt, io, path::Path};

pub use connect::Connection;
pub use connect_error::ConnectError;
pub use error::{ConnInfoError, FileProblem, Origin};
pub use foreign::Meant;
pub use session::{DEFAULT_APPLICATION_NAME, TargetSessionAttrs};
pub use socket_options::{
    DEFAULT_CONNECT_TIMEOUT, DEFAULT_KEEPALIVES_COUNT, DEFAULT_KEEPALIVES_IDLE,
    DEFAULT_KEEPALIVES_INTERVAL, DEFAULT_TCP_USER_TIMEOUT,
};
pub use target::Target;

use endpoints::Endpoints;
use error::Mistakes;
use session::Session;
use settings::Settings;
use socket_options::SocketOptions;
use system_user::SystemUser;
use tls::TlsSettings;

/// Maximum size in KiB of a file that a setting names: twenty times a system's bundle of
/// root certificates.
const MAX_FILE: u64 = 4096;

fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    crate::bounded_file::read(path, MAX_FILE)
}

/// Resolved connection settings. Files that may change while the gateway runs (the password file,
/// a service's password, certificates) are read again by [`ConnInfo::targets`].
pub struct ConnInfo {
    endpoints: Endpoints,
    session: Session,
    socket_options: SocketOptions,
    tls: TlsSettings,
}

impl ConnInfo {
    /// Resolves the settings with libpq's precedence: `connection_string` (a `postgresql://` URI
    /// or `keyword=value` pairs), then the service file, then the `PG*` variables from
    /// `environment`, then the defaults.
    ///
    /// # Errors
    /// All mistakes at once, those of unreadable certificate files included; never an empty list.
    pub fn resolve(
        connection_string: Option<&str>,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, Vec<ConnInfoError>> {
        let mut mistakes = Mistakes::default();
        let user = SystemUser::current(environment);
        let home = user.home.as_deref();
        let settings = Settings::gather(connection_string, environment, home, &mut mistakes);
        let endpoints = Endpoints::read(&settings, &mut mistakes);
        let session = Session::read(&settings, &user, &mut mistakes);
        let socket_options = SocketOptions::read(&settings, &mut mistakes);
        let tls = TlsSettings::read(&settings, home, &mut mistakes);
        let on_sockets = endpoints
            .as_ref()
            .is_some_and(|list| !Endpoints::need_tls(&list.in_order()));
        if let Some(tls) = tls.as_ref().filter(|_| !on_sockets) {
            mistakes.catch(tls.connector());
        }
        match (endpoints, session, tls, mistakes.into_vec()) {
            (Some(endpoints), Some(session), Some(tls), mistakes) if mistakes.is_empty() => {
                Ok(Self {
                    endpoints,
                    session,
                    socket_options,
                    tls,
                })
            }
            (_, _, _, mistakes) => Err(mistakes),
        }
    }

    /// One target for each host, in the order to try them: the given order, or a random one if
    /// configured.
    ///
    /// Must be called before every connection attempt, since it reads the password file, the
    /// service's password and the certificates: small files, read on the current thread.
    ///
    /// # Errors
    /// A certificate or key file has become unreadable.
    pub fn targets(&self) -> Result<Vec<Target>, ConnInfoError> {
        let endpoints = self.endpoints.in_order();
        let connector = if Endpoints::need_tls(&endpoints) {
            self.tls.connector()
        } else {
            TlsSettings::unused_connector()
        }?;
        Ok(endpoints
            .iter()
            .map(|endpoint| Target::new(self, endpoint, connector.clone()))
            .collect())
    }

    /// The role to connect as.
    #[must_use]
    pub fn user(&self) -> &str {
        &self.session.user
    }

    /// `host:port/database` of every host, separated by commas. Reads no files; those are read by
    /// [`ConnInfo::targets`].
    #[must_use]
    pub fn places(&self) -> String {
        let endpoints = self.endpoints.in_order();
        let names = endpoints
            .iter()
            .map(|endpoint| target::name(endpoint, &self.session.database));
        names.collect::<Vec<_>>().join(",")
    }

    /// The requested kind of server. [`Target::connect`] ignores it: the caller has to query the
    /// server.
    #[must_use]
    pub fn target_session_attrs(&self) -> TargetSessionAttrs {
        self.session.target_session_attrs
    }
}

/// Whether a connection string contains a password, as far as it can be parsed.
#[must_use]
pub fn holds_password(connection_string: &str) -> bool {
    let is_password = |pair: &pair::Pair| pair.keyword == "password" && !pair.value.is_empty();
    settings::parse(connection_string).is_ok_and(|pairs| pairs.iter().any(is_password))
}

impl fmt::Debug for ConnInfo {
    /// Omits the password, and `options`, which may contain a secret setting.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnInfo")
            .field("endpoints", &self.endpoints)
            .field("user", &self.session.user)
            .field("database", &self.session.database)
            .field("application_name", &self.session.application_name)
            .field("target_session_attrs", &self.session.target_session_attrs)
            .field("sslmode", &self.tls.mode)
            .field("socket_options", &self.socket_options)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
