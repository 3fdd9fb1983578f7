//! Opens a session on the first suitable host and configures it for a long life.

use std::{
    future::{Future, poll_fn},
    time::Duration,
};

use tokio::{select, time::timeout};
use tokio_postgres::{AsyncMessage, Client, Error, SimpleQueryMessage, error::SqlState};

use super::{
    conninfo::{ConnInfo, ConnInfoError, ConnectError, Connection, TargetSessionAttrs},
    statements::Failure,
};
use crate::{publish::PublishError, text::Printable};

/// Timeout for the two short queries on a new connection.
const SET_UP: Duration = Duration::from_secs(10);

/// Session settings: end the backend of a dead gateway within 14 s, keep a silent one
/// alive, and report names that LISTEN has truncated. The numbers are those of
/// `DEFAULT_TCP_USER_TIMEOUT` and the others there, for the server's end of the socket.
/// Sent as a query instead of at startup, so that a server which does not know one of
/// them accepts the rest. Operators are schema-qualified, here and in all statements of
/// the source: a database's `search_path` may shadow PostgreSQL's own.
const SETTINGS: &str = "SELECT setting.name OPERATOR(pg_catalog.||) ' = ' \
    OPERATOR(pg_catalog.||) pg_catalog.set_config(setting.name, value, false) FROM (VALUES \
    ('client_min_messages', 'notice'), \
    ('idle_session_timeout', '0'), \
    ('tcp_keepalives_idle', '3'), \
    ('tcp_keepalives_interval', '2'), \
    ('tcp_keepalives_count', '2'), \
    ('tcp_user_timeout', '7000')) AS wanted (name, value) \
    JOIN pg_catalog.pg_settings AS setting \
    ON setting.name OPERATOR(pg_catalog.=) wanted.name";

const STATE: &str = "SELECT pg_catalog.pg_is_in_recovery(), \
    pg_catalog.current_setting('transaction_read_only'), \
    pg_catalog.current_setting('server_encoding')";

/// Reason why a session could not be opened, or has ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum SessionError {
    #[error(transparent)]
    ConnInfo(#[from] ConnInfoError),
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error("{}", describe(.0))]
    Postgres(#[from] Error),
    #[error("{0} is a standby, which cannot LISTEN (25006)")]
    Standby(String),
    #[error("{0} is {1}, which target_session_attrs does not want")]
    Unwanted(String, &'static str),
    #[error("the server closed the connection")]
    Closed,
    #[error(transparent)]
    Failure(#[from] Failure),
    #[error("the session went silent: no answer in time")]
    Overdue,
    #[error("the probe could not be sent: {0}")]
    Probe(#[from] PublishError),
    #[error(
        "LISTEN was accepted, but a notification of another session did not arrive: is there a \
         pooler in transaction or statement mode in between? LISTEN needs a session of its own"
    )]
    NothingDelivered,
    #[error(
        "the name of its host leads to another server now: what a new session notifies there \
         does not arrive here"
    )]
    Elsewhere,
    #[error("the server is shutting down, and waits for its sessions to end")]
    ShuttingDown,
    #[error("there is nothing more to do")]
    Done,
    #[error("{0}: the first queries were not answered in time")]
    NotSetUp(String),
    #[error("the connection string names no host")]
    NoHost,
}

impl SessionError {
    /// Whether a server that is shutting down refused the session
    /// (<https://www.postgresql.org/docs/current/errcodes-appendix.html>, 57P03).
    pub(super) fn is_shutting_down(&self) -> bool {
        matches!(self, Self::Connect(error) if error.code() == Some(&SqlState::CANNOT_CONNECT_NOW))
    }
}

/// Class 22, data exception: the server's encoding cannot represent the text
/// (<https://www.postgresql.org/docs/current/errcodes-appendix.html>).
pub(super) fn is_about_the_text(error: &Error) -> bool {
    error
        .code()
        .is_some_and(|code| code.code().starts_with("22"))
}

/// A session, the name of its host, and the encoding of its database.
pub(super) struct Connected {
    pub(super) client: Client,
    pub(super) connection: Connection,
    pub(super) host: String,
    pub(super) encoding: String,
}

impl Connected {
    /// Whether the server may change a text: some characters of UTF-8 share one in such
    /// an encoding (U+00A6 and U+FFE4 in EUC_JP).
    pub(super) fn respells(&self) -> bool {
        !matches!(self.encoding.as_str(), "UTF8" | "SQL_ASCII")
    }
}

/// Connects to the first suitable host, or to `only` that one. If no host is suitable,
/// returns the error of the last.
pub(super) async fn connect(
    conninfo: &ConnInfo,
    only: Option<&str>,
) -> Result<Connected, SessionError> {
    let mut last = SessionError::NoHost;
    for target in conninfo.targets()? {
        let host = target.to_string();
        if only.is_some_and(|only| only != host) {
            continue;
        }
        match target.connect().await {
            Ok((client, mut connection)) => {
                let wants = conninfo.target_session_attrs();
                let set_up = drive(&mut connection, set_up(&client, wants, &host));
                match timeout(SET_UP, set_up).await {
                    Ok(Ok(encoding)) => {
                        return Ok(Connected {
                            client,
                            connection,
                            host,
                            encoding,
                        });
                    }
                    Ok(Err(error)) => last = error,
                    Err(_) => last = SessionError::NotSetUp(host),
                }
            }
            Err(error) if error.ends_search() => return Err(error.into()),
            Err(error) => last = error.into(),
        }
    }
    Err(last)
}

/// Applies the settings in one round trip, because a server may be far away. Returns
/// the encoding of the database.
async fn set_up(
    client: &Client,
    wants: TargetSessionAttrs,
    host: &str,
) -> Result<String, SessionError> {
    let answer = client.simple_query(&format!("{SETTINGS}; {STATE}")).await?;
    let rows = answer.iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    });
    // The rows before it belong to the settings.
    let state = rows.last().ok_or(SessionError::Closed)?;
    let is = |column, value| state.try_get(column).ok().flatten() == Some(value);
    match wants {
        _ if is(0, "t") => Err(SessionError::Standby(host.into())),
        TargetSessionAttrs::ReadWrite if is(1, "on") => {
            Err(SessionError::Unwanted(host.into(), "read-only"))
        }
        TargetSessionAttrs::ReadOnly if is(1, "off") => {
            Err(SessionError::Unwanted(host.into(), "read-write"))
        }
        TargetSessionAttrs::Standby => Err(SessionError::Unwanted(host.into(), "a primary")),
        _ => Ok(state.try_get(2)?.unwrap_or_default().to_owned()),
    }
}

/// Runs `work` while polling the connection, without which a query makes no progress.
pub(super) async fn drive<T>(
    connection: &mut Connection,
    work: impl Future<Output = Result<T, SessionError>>,
) -> Result<T, SessionError> {
    tokio::pin!(work);
    loop {
        select! {
            result = &mut work => return result,
            message = message(connection) => drop(message?),
        }
    }
}

/// The next message that is not an answer. Cancel-safe.
pub(super) async fn message(connection: &mut Connection) -> Result<AsyncMessage, SessionError> {
    match poll_fn(|cx| connection.poll_message(cx)).await {
        Some(Ok(message)) => Ok(message),
        Some(Err(error)) => Err(error.into()),
        None => Err(SessionError::Closed),
    }
}

/// The error message of the server, which `Display` omits, or the whole chain of
/// causes.
pub(super) fn describe(error: &Error) -> String {
    if let Some(db) = error.as_db_error() {
        return format!("{} ({})", Printable(db.message()), db.code().code());
    }
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
