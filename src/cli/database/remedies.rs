//! Remedies for a failed session, by the error of the server or the machine.

use std::{error::Error, io};

use super::DatabaseError;
use crate::{config::remedy_of_database, source::conninfo::ConnectError};

/// The log has the server's own explanation.
pub(in crate::cli) const SERVER_LOG: &str = "see what the server's log says";

/// For a standby, which accepts neither LISTEN nor changes.
pub(in crate::cli) const PRIMARY: &str = "name the primary, or all hosts with \
    target_session_attrs=read-write: PGHOST=db1,db2 PGTARGETSESSIONATTRS=read-write";

impl DatabaseError {
    /// How to fix it.
    pub(in crate::cli) fn remedy(&self) -> &'static str {
        match self {
            Self::ConnInfo(error) => remedy_of_database(error),
            Self::Connect(error) => remedy(error),
            Self::Standby(_) => PRIMARY,
            Self::NoHost => "name a host: PGHOST, or in the connection string",
            Self::Postgres(_) | Self::Silent | Self::Strange => SERVER_LOG,
        }
    }
}

const PASSWORD: &str = "give the role's password: PGPASSWORD, a line of the password file \
    (~/.pgpass, PGPASSFILE), or the connection string";

/// <https://www.postgresql.org/docs/current/errcodes-appendix.html>
pub(in crate::cli) fn remedy(error: &ConnectError) -> &'static str {
    match error.code().map(|code| code.code()) {
        Some("28P01") => PASSWORD,
        Some("28000") if error.to_string().contains("is not permitted to log in") => {
            "ALTER ROLE … LOGIN, or name a role that may log in: PGUSER"
        }
        Some("28000") => {
            "name a role that exists (PGUSER), and let it in from this machine: \
             a line of the server's pg_hba.conf, and a reload"
        }
        Some("3D000") => "name a database that exists: PGDATABASE, or in the connection string",
        Some("42501") => "GRANT CONNECT ON DATABASE … TO the role",
        Some("53300") => {
            "leave room for two sessions of the gateway: max_connections, or the \
             CONNECTION LIMIT of the role or the database"
        }
        Some("57P03") => "wait: the server is starting or shutting down",
        Some(_) => "ask `psql` with the same settings; the server's log says more",
        None => by_text(error),
    }
}

fn by_text(error: &ConnectError) -> &'static str {
    let refused = match error {
        ConnectError::Timeout { .. } => {
            return "check PGHOST and PGPORT, and whether a firewall drops what is sent there";
        }
        ConnectError::Failed { error, .. } => error,
        ConnectError::BothWays { second, .. } => second,
    };
    let text = error.to_string();
    match io_kind(refused) {
        _ if text.contains("password missing") => PASSWORD,
        _ if text.contains("certificate") || text.contains("TLS") || text.contains("tls") => {
            "check sslmode and sslrootcert (PGSSLMODE, PGSSLROOTCERT)"
        }
        Some(io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound) => {
            "start PostgreSQL there, or check PGHOST, PGPORT and the server's listen_addresses"
        }
        _ if text.contains("lookup") => "check the name of the host: PGHOST",
        _ => "ask `psql` with the same settings",
    }
}

fn io_kind(error: &tokio_postgres::Error) -> Option<io::ErrorKind> {
    let cause = error.source()?.downcast_ref::<io::Error>()?;
    Some(cause.kind())
}
