//! Database session of a command. The gateway's own sessions belong to `source`.

mod quote;
mod remedies;

use std::{future::poll_fn, time::Duration};

use tokio::{sync::mpsc, time::timeout};
use tokio_postgres::{
    AsyncMessage, Client, Notification, SimpleQueryMessage, SimpleQueryRow, error::SqlState,
};

pub(super) use self::{
    quote::{block, identifier, literal, printable_sql, quoted},
    remedies::{PRIMARY, SERVER_LOG, remedy},
};
use super::output::printable;
use crate::source::conninfo::{ConnInfo, ConnInfoError, ConnectError, Target};

/// Timeout for an answer: a person waits for the command.
const ANSWER: Duration = Duration::from_secs(10);

/// Limit of queued notifications; more are dropped. Commands wait for them one by one.
const NOTIFICATIONS: usize = 64;

/// Pins the search path. PostgreSQL prefers an operator whose types match better, anywhere in the
/// path: one that another role created in `public` would run with the rights of this session
/// (CVE-2018-1058). In force until the statements that are sent together end, so that a pooled
/// session is returned unchanged.
pub(super) const OWN_NAMES: &str = "SET LOCAL search_path = pg_catalog, pg_temp;\n";

const STATE: &str = "SELECT pg_catalog.pg_is_in_recovery(), \
    pg_catalog.current_setting('transaction_read_only'), \
    pg_catalog.current_setting('server_encoding'), \
    pg_catalog.current_setting('server_version'), \
    current_user, pg_catalog.pg_backend_pid()";

/// Why there is no session, or no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum DatabaseError {
    #[error(transparent)]
    ConnInfo(#[from] ConnInfoError),
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error("{}", describe(.0))]
    Postgres(#[from] tokio_postgres::Error),
    #[error("no answer within {ANSWER:?}")]
    Silent,
    #[error("the answer has another form than PostgreSQL's")]
    Strange,
    #[error("{0} is a standby, which takes no changes")]
    Standby(String),
    #[error("the connection string names no host")]
    NoHost,
}

impl DatabaseError {
    /// The error, and its remedy on a second line, as `check` prints it.
    pub(super) fn explained(&self) -> String {
        let says = self.to_string();
        format!("{}\nremedy: {}", printable(&says), self.remedy())
    }

    /// The SQLSTATE, if the server refused a statement.
    pub(super) fn code(&self) -> Option<&str> {
        match self {
            Self::Postgres(error) => error.code().map(SqlState::code),
            _ => None,
        }
    }
}

/// State of a session, as the server reports it.
#[derive(Debug)]
pub(super) struct State {
    pub(super) is_standby: bool,
    pub(super) is_read_only: bool,
    pub(super) encoding: String,
    pub(super) version: String,
    pub(super) user: String,
    pub(super) backend: String,
}

/// Database session; closed on drop.
pub(super) struct Session {
    pub(super) client: Client,
    pub(super) notifications: mpsc::Receiver<Notification>,
}

/// Opens a session on the first host that accepts changes. A refusal ends the search, as in the
/// gateway.
pub(super) async fn open(database: &ConnInfo) -> Result<Session, DatabaseError> {
    let mut last = DatabaseError::NoHost;
    for target in database.targets()? {
        match Session::open(&target).await {
            Ok(session) if session.state().await?.is_standby => {
                last = DatabaseError::Standby(target.to_string());
            }
            Ok(session) => return Ok(session),
            Err(error) if error.ends_search() => return Err(error.into()),
            Err(error) => last = error.into(),
        }
    }
    Err(last)
}

impl Session {
    /// Opens a session on this host, primary or standby.
    pub(super) async fn open(target: &Target) -> Result<Self, ConnectError> {
        let (client, mut connection) = target.connect().await?;
        let (sender, notifications) = mpsc::channel(NOTIFICATIONS);
        tokio::spawn(async move {
            // The next statement reports the end of the connection.
            while let Some(Ok(message)) = poll_fn(|cx| connection.poll_message(cx)).await {
                if let AsyncMessage::Notification(notification) = message {
                    let _ = sender.try_send(notification);
                }
            }
        });
        Ok(Self {
            client,
            notifications,
        })
    }

    pub(super) async fn state(&self) -> Result<State, DatabaseError> {
        let rows = self.rows(STATE).await?;
        let row = rows.first().ok_or(DatabaseError::Strange)?;
        let text = |column| text(row, column).ok_or(DatabaseError::Strange);
        Ok(State {
            is_standby: text(0)? == "t",
            is_read_only: text(1)? == "on",
            encoding: text(2)?,
            version: text(3)?,
            user: text(4)?,
            backend: text(5)?,
        })
    }

    /// All rows of one or several statements. Simple protocol: a pooler in statement mode accepts
    /// no prepared statements.
    pub(super) async fn rows(&self, sql: &str) -> Result<Vec<SimpleQueryRow>, DatabaseError> {
        self.rows_within(ANSWER, sql).await
    }

    /// As [`Self::rows`], with the session's own `search_path`: for a table's name, without
    /// operators.
    pub(super) async fn rows_by_own_path(
        &self,
        sql: &str,
    ) -> Result<Vec<SimpleQueryRow>, DatabaseError> {
        self.answered(ANSWER, sql).await
    }

    /// Runs statements whose result is not needed, without a timeout.
    pub(super) async fn run(&self, sql: &str) -> Result<(), DatabaseError> {
        Ok(self.client.batch_execute(sql).await?)
    }

    pub(super) async fn rows_within(
        &self,
        limit: Duration,
        sql: &str,
    ) -> Result<Vec<SimpleQueryRow>, DatabaseError> {
        self.answered(limit, &format!("{OWN_NAMES}{sql}")).await
    }

    async fn answered(
        &self,
        limit: Duration,
        sql: &str,
    ) -> Result<Vec<SimpleQueryRow>, DatabaseError> {
        let answer = timeout(limit, self.client.simple_query(sql)).await;
        let messages = answer.map_err(|_| DatabaseError::Silent)??;
        let rows = messages.into_iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        });
        Ok(rows.collect())
    }
}

/// `None` if the value is NULL or missing.
pub(super) fn text(row: &SimpleQueryRow, column: usize) -> Option<String> {
    row.try_get(column).ok().flatten().map(str::to_owned)
}

/// The server's message, with its detail and hint.
fn describe(error: &tokio_postgres::Error) -> String {
    let Some(said) = error.as_db_error() else {
        let cause = std::error::Error::source(error);
        return cause.map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}"));
    };
    let mut text = format!("{} ({})", printable(said.message()), said.code().code());
    for more in [said.detail(), said.hint()].into_iter().flatten() {
        text = format!("{text}: {}", printable(more));
    }
    text
}
