//! Statements of the listening session, and the server's answers to them.
//!
//! Before the server ends its answer, it delivers pending notifications. If it cannot
//! deliver one, it reports an error for a statement that has already committed, after
//! which an older server (observed with 16.2) continues the session as if nothing were
//! missing.

use std::{collections::HashSet, pin::pin};

use futures_util::TryStreamExt;
use tokio_postgres::{
    Client, Error, SimpleQueryMessage,
    error::{Severity, SqlState},
    types::Type,
};

use super::connect::describe;
use crate::event::ChannelName;

/// Reason why statements failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// No statement was completed: nothing has changed.
    #[error("{}", describe(.0))]
    NotExecuted(Error),
    /// The server reports a committed channel under another name: its encoding replaced
    /// a character of the name that it lacks by another one.
    #[error("a name has changed in the server's encoding")]
    Respelt,
    /// Which notifications were delivered after this is unknown.
    #[error("after a statement: {}", describe(.0))]
    AfterCompletion(Error),
}

impl Failure {
    /// Whether the server's encoding cannot represent the text
    /// (<https://www.postgresql.org/docs/current/errcodes-appendix.html>, 22P05). The
    /// server converts the text before anything else, and the session continues.
    pub(super) fn is_about_the_text(&self) -> bool {
        let error = match self {
            Self::NotExecuted(error) => error,
            Self::Respelt => return true,
            Self::AfterCompletion(_) => return false,
        };
        error.as_db_error().is_some_and(|error| {
            *error.code() == SqlState::UNTRANSLATABLE_CHARACTER
                && error.parsed_severity() == Some(Severity::Error)
        })
    }
}

/// Runs the statements in one round trip, as one transaction.
pub(super) async fn run(client: &Client, sql: &str) -> Result<(), Failure> {
    let answers = client.simple_query_raw(sql).await;
    let mut answers = pin!(answers.map_err(Failure::NotExecuted)?);
    let mut is_undone = true;
    loop {
        match answers.try_next().await {
            Ok(None) => return Ok(()),
            Ok(Some(SimpleQueryMessage::CommandComplete(_))) => is_undone = false,
            Ok(Some(_)) => {}
            Err(error) if is_undone => return Err(Failure::NotExecuted(error)),
            Err(error) => return Err(Failure::AfterCompletion(error)),
        }
    }
}

/// Checks that the server reports each of the committed names unchanged, after both
/// were converted to its encoding.
pub(super) async fn are_kept(client: &Client, names: &[ChannelName]) -> Result<(), Failure> {
    let sql = "SELECT name FROM pg_catalog.pg_listening_channels() AS listening (name) \
               WHERE name OPERATOR(pg_catalog.=) ANY ($1)";
    let sent: Vec<_> = names.iter().map(ChannelName::as_str).collect();
    let rows = client.query_typed(sql, &[(&sent, Type::TEXT_ARRAY)]).await;
    let rows = rows.map_err(Failure::AfterCompletion)?;
    let said = rows.iter().map(|row| row.try_get::<_, &str>(0));
    let said: HashSet<_> = said
        .collect::<Result<_, _>>()
        .map_err(Failure::AfterCompletion)?;
    match sent.iter().all(|name| said.contains(name)) {
        true => Ok(()),
        false => Err(Failure::Respelt),
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
    use tokio_postgres::{Config, NoTls};

    use super::*;

    /// A message of the protocol: its kind, the length including itself, and the body
    /// (<https://www.postgresql.org/docs/current/protocol-message-formats.html>).
    fn message(kind: u8, body: &[u8]) -> Vec<u8> {
        let length = (4 + body.len()) as u32;
        [&[kind], length.to_be_bytes().as_slice(), body].concat()
    }

    fn done() -> Vec<u8> {
        message(b'C', b"LISTEN\0")
    }

    fn error(severity: &str, code: &str) -> Vec<u8> {
        let body = format!("S{severity}\0V{severity}\0C{code}\0Mno\0\0");
        message(b'E', body.as_bytes())
    }

    /// The result of statements that a server answers with `messages`.
    async fn answered(messages: &[Vec<u8>]) -> Result<(), Failure> {
        let (near, mut far) = duplex(1 << 10);
        let ready = message(b'Z', b"I");
        let begin = [message(b'R', &[0; 4]), ready.clone()].concat();
        let answer = [messages.concat(), ready].concat();
        tokio::spawn(async move {
            let mut heard = [0; 1 << 10];
            for said in [begin, answer] {
                let _ = far.read(&mut heard).await.unwrap();
                far.write_all(&said).await.unwrap();
            }
        });
        let opened = Config::new().user("ann").connect_raw(near, NoTls).await;
        let (client, connection) = opened.unwrap();
        tokio::spawn(connection);
        run(&client, "LISTEN a").await
    }

    #[tokio::test]
    async fn an_error_after_a_statement_is_not_the_statements() {
        for code in ["22021", "22P05", "58P01"] {
            let answer = answered(&[done(), error("ERROR", code)]).await;
            assert!(
                matches!(answer, Err(Failure::AfterCompletion(_))),
                "{answer:?}"
            );
            assert!(!answer.unwrap_err().is_about_the_text());
        }
        assert!(answered(&[done(), done()]).await.is_ok());
    }

    #[tokio::test]
    async fn what_could_not_be_passed_on_is_nothing_about_a_statement_that_follows() {
        for (severity, code, expected) in [
            ("ERROR", "22P05", true),
            ("FATAL", "22P05", false),
            ("ERROR", "22021", false),
            ("FATAL", "22021", false),
            ("ERROR", "53200", false),
        ] {
            let failure = answered(&[error(severity, code)]).await.unwrap_err();
            assert!(matches!(failure, Failure::NotExecuted(_)), "{failure:?}");
            assert_eq!(failure.is_about_the_text(), expected, "{severity} {code}");
        }
    }
}
