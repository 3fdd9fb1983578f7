//! One host of the settings, with resolved settings.

use std::fmt;
use std::time::Duration;

use tokio_postgres::Config;
use tokio_postgres_rustls::MakeRustlsConnect;

use super::ConnInfo;
use super::endpoints::{Endpoint, Place};
use super::passfile::{self, Wanted};
use super::service::Service;
use super::session::Password;
use super::tls::SslMode;
use crate::text::Printable;

/// One host with everything needed to open a session on it, at the time of its creation.
///
/// Its `Display` is `host:port/database`, for logs. It contains the password, so its `Debug` shows
/// no more than that.
pub struct Target {
    pub(super) config: Config,
    pub(super) connector: MakeRustlsConnect,
    pub(super) attempts: Attempts,
    pub(super) connect_timeout: Duration,
    name: String,
}

/// The attempts to make, with and without TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Attempts {
    Plain,
    /// `allow`: with TLS if the server refuses the first.
    PlainThenTls,
    /// `prefer`: without TLS if the server agreed to TLS and it failed.
    TlsThenPlain,
    Tls,
}

impl Attempts {
    /// The attempts for a place: a Unix-domain socket never has TLS, as in libpq.
    fn new(mode: SslMode, place: &Place) -> Self {
        match (place, mode) {
            (Place::Folder(_), _) | (_, SslMode::Disable) => Self::Plain,
            (_, SslMode::Allow) => Self::PlainThenTls,
            (_, SslMode::Prefer) => Self::TlsThenPlain,
            (_, SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull) => Self::Tls,
        }
    }
}

impl Target {
    pub(super) fn new(info: &ConnInfo, endpoint: &Endpoint, connector: MakeRustlsConnect) -> Self {
        Self {
            config: config(info, endpoint),
            connector,
            attempts: Attempts::new(info.tls.mode, &endpoint.place),
            connect_timeout: info.socket_options.connect_timeout,
            name: name(endpoint, &info.session.database),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Target({}, {:?})", self.name, self.attempts)
    }
}

/// `host:port/database`
pub(super) fn name(endpoint: &Endpoint, database: &str) -> String {
    let host = host(&endpoint.place);
    format!("{host}:{}/{}", endpoint.port, Printable(database))
}

fn host(place: &Place) -> String {
    match place {
        Place::Tcp { name, .. } if name.contains(':') => format!("[{name}]"),
        Place::Tcp { name, .. } => name.clone(),
        Place::Folder(folder) => Printable(folder.display()).to_string(),
    }
}

fn config(info: &ConnInfo, endpoint: &Endpoint) -> Config {
    let session = &info.session;
    let mut config = Config::new();
    config
        .user(&session.user)
        .dbname(&session.database)
        .application_name(&session.application_name)
        .channel_binding(session.channel_binding)
        .ssl_negotiation(info.tls.negotiation)
        .port(endpoint.port);
    if let Some(options) = &session.options {
        config.options(options);
    }
    if let Some(password) = password(info, endpoint) {
        config.password(password.0);
    }
    info.socket_options.apply(&mut config);
    set_place(&mut config, &endpoint.place);
    if info.endpoints.random {
        // The hosts are already shuffled; this shuffles the addresses of one name.
        config.load_balance_hosts(tokio_postgres::config::LoadBalanceHosts::Random);
    }
    config
}

fn set_place(config: &mut Config, place: &Place) {
    match place {
        Place::Folder(folder) => {
            config.host_path(folder);
        }
        Place::Tcp { name, address } => {
            config.host(name);
            address.map(|address| config.hostaddr(address));
        }
    }
}

fn password(info: &ConnInfo, endpoint: &Endpoint) -> Option<Password> {
    let session = &info.session;
    let wanted = Wanted {
        endpoint,
        database: &session.database,
        user: &session.user,
    };
    let from_service = session.service.as_ref().and_then(Service::password);
    let given = from_service.map(|text| Password(text.into_bytes()));
    let from_file = || passfile::password(session.passfile.as_ref()?, &wanted);
    given
        .or_else(|| session.password.clone())
        .or_else(from_file)
}
