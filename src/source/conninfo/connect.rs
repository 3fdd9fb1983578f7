//! Opening a session on one host, with the two modes of TLS that may try twice.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio_postgres::config::SslMode;
use tokio_postgres::tls::{MakeTlsConnect, TlsConnect};
use tokio_postgres::{Client, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::connect_error::{ConnectError, explain};
use super::target::{Attempts, Target};

/// The connection task of a session, of the same type with and without TLS. A [`Client`] makes no
/// progress unless it is polled.
pub type Connection = tokio_postgres::Connection<Socket, TlsStream>;

type TlsStream = <MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream;
type Opened = Result<(Client, Connection), tokio_postgres::Error>;

impl Target {
    /// Opens a session: name lookup, socket, TLS and authentication, all within `connect_timeout`.
    ///
    /// # Errors
    /// The session could not be opened; [`ConnectError::ends_search`] tells whether libpq would go
    /// on to the next host.
    pub async fn connect(&self) -> Result<(Client, Connection), ConnectError> {
        let limit = self.connect_timeout;
        match tokio::time::timeout(limit, self.attempts()).await {
            Ok(result) => result,
            Err(_) => Err(ConnectError::Timeout {
                target: self.to_string(),
                limit,
            }),
        }
    }

    /// libpq's order:
    /// <https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNECT-SSLMODE>
    async fn attempts(&self) -> Result<(Client, Connection), ConnectError> {
        match self.attempts {
            Attempts::Plain => self.once(SslMode::Disable).await,
            Attempts::Tls => self.once(SslMode::Require).await,
            Attempts::TlsThenPlain => match self.attempt(SslMode::Prefer).await {
                (Err(first), true) => self.again_without_tls(first).await,
                (result, _) => result.map_err(|error| self.failed(error)),
            },
            Attempts::PlainThenTls => match self.attempt(SslMode::Disable).await.0 {
                Err(first) if first.as_db_error().is_some() => {
                    self.again(SslMode::Require, first).await
                }
                result => result.map_err(|error| self.failed(error)),
            },
        }
    }

    async fn once(&self, mode: SslMode) -> Result<(Client, Connection), ConnectError> {
        let (result, _) = self.attempt(mode).await;
        result.map_err(|error| self.failed(error))
    }

    async fn again_without_tls(
        &self,
        first: tokio_postgres::Error,
    ) -> Result<(Client, Connection), ConnectError> {
        let reason = explain(&first);
        let session = self.again(SslMode::Disable, first).await?;
        // A success would otherwise hide that TLS was tried and failed.
        tracing::warn!(target = %self, reason, "connected without TLS, as sslmode=prefer allows");
        Ok(session)
    }

    async fn again(
        &self,
        mode: SslMode,
        first: tokio_postgres::Error,
    ) -> Result<(Client, Connection), ConnectError> {
        let (result, _) = self.attempt(mode).await;
        let target = self.to_string();
        result.map_err(|second| ConnectError::BothWays {
            target,
            first,
            second,
        })
    }

    /// Makes one attempt. Also returns whether it got as far as TLS.
    async fn attempt(&self, mode: SslMode) -> (Opened, bool) {
        let connector = Watched {
            connector: self.connector.clone(),
            began: Arc::default(),
        };
        let began = Arc::clone(&connector.began);
        let mut config = self.config.clone();
        config.ssl_mode(mode);
        let result = config.connect(connector).await;
        (result, began.load(Ordering::Relaxed))
    }

    fn failed(&self, error: tokio_postgres::Error) -> ConnectError {
        ConnectError::Failed {
            target: self.to_string(),
            error,
        }
    }
}

/// A connector that records whether the server agreed to TLS: only after a later failure may
/// `prefer` try without TLS.
struct Watched<C> {
    connector: C,
    began: Arc<AtomicBool>,
}

impl MakeTlsConnect<Socket> for Watched<MakeRustlsConnect> {
    type Stream = TlsStream;
    type TlsConnect = Watched<<MakeRustlsConnect as MakeTlsConnect<Socket>>::TlsConnect>;
    type Error = Infallible;

    fn make_tls_connect(&mut self, domain: &str) -> Result<Self::TlsConnect, Infallible> {
        let connector = MakeTlsConnect::<Socket>::make_tls_connect(&mut self.connector, domain)?;
        Ok(Watched {
            connector,
            began: Arc::clone(&self.began),
        })
    }
}

impl<C: TlsConnect<Socket>> TlsConnect<Socket> for Watched<C> {
    type Stream = C::Stream;
    type Error = C::Error;
    type Future = C::Future;

    fn connect(self, stream: Socket) -> Self::Future {
        self.began.store(true, Ordering::Relaxed);
        self.connector.connect(stream)
    }
}
