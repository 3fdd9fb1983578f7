//! Idle timeout of a connection without streams. A client that keeps answering
//! pings would otherwise hold a descriptor for as long as it likes.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::time::{Instant, Sleep, sleep};

use super::stall::Stall;

/// Interval of the checks. The second check after the last stream closes the
/// connection: after one to two minutes. That is longer than the minute for which
/// balancers and pools keep an idle connection (so they close it first), and longer
/// than the pause of a probe or a publisher that connects once a minute. gRPC
/// clients reconnect by themselves.
const BETWEEN: Duration = Duration::from_secs(60);

/// Result of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// No stream for a whole interval: time for GOAWAY.
    Unused,
    /// Still open at the next check after GOAWAY.
    Refuses,
}

/// Idle timer of a connection. It costs nothing per stream.
#[derive(Debug)]
pub(super) struct Unused {
    /// Whether a stream was opened since the last check, or was open at it.
    was_used: bool,
    /// Number of consecutive checks that found no stream.
    found_nothing: u8,
    look: Pin<Box<Sleep>>,
}

impl Default for Unused {
    fn default() -> Self {
        Self {
            was_used: false,
            found_nothing: 0,
            look: Box::pin(sleep(BETWEEN)),
        }
    }
}

impl Unused {
    /// A stream was opened.
    pub(super) fn asked(&mut self) {
        self.was_used = true;
    }

    /// Each open stream of the connection holds a clone of `stall`.
    pub(super) fn poll_look(&mut self, cx: &mut Context<'_>, stall: &Stall) -> Poll<Look> {
        loop {
            ready!(self.look.as_mut().poll(cx));
            self.look.as_mut().reset(Instant::now() + BETWEEN);
            let is_used = !stall.is_of_no_stream();
            let was_used = std::mem::replace(&mut self.was_used, is_used);
            self.found_nothing = match was_used || is_used {
                true => 0,
                false => self.found_nothing.saturating_add(1),
            };
            match self.found_nothing {
                0 => {}
                1 => return Poll::Ready(Look::Unused),
                _ => return Poll::Ready(Look::Refuses),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use axum::{Router, body::Body, routing::get};
    use bytes::Bytes;
    use futures_util::stream::pending;
    use h2::client::{SendRequest, handshake};
    use http::Request;
    use tokio::{io::duplex, task::JoinHandle};

    use super::*;
    use crate::{
        auth::{Authenticator, Config},
        channel_demand::Demand,
        hub::Hub,
        shutdown::Shutdown,
        transport::{
            Browsers, Limits,
            access::{
                admission::{Admission, Settings},
                limits::Peer,
            },
            connection::{http2::serve, pending_requests::PendingRequests},
        },
    };

    fn waiting() -> PendingRequests {
        PendingRequests::new(Admission::new(
            Hub::new(crate::hub::Config::default(), Demand::default()),
            crate::publish::channel().0,
            Authenticator::new(Config::open(false)),
            Browsers::default(),
            Settings::default(),
            Limits::default(),
        ))
    }

    /// One route that responds at once, and one that never ends.
    fn app() -> Router {
        let forever = || async {
            let nothing = pending::<Result<Bytes, std::io::Error>>();
            Body::from_stream(nothing)
        };
        let now = || async { "now" };
        Router::new()
            .route("/now", get(now))
            .route("/forever", get(forever))
    }

    struct Client {
        requests: SendRequest<Bytes>,
        /// The client's view of the end.
        connection: JoinHandle<Result<(), h2::Error>>,
        served: JoinHandle<Result<(), h2::Error>>,
    }

    async fn client() -> Client {
        let (ours, theirs) = duplex(1 << 16);
        let served = tokio::spawn(async move {
            let peer = Peer([127, 0, 0, 1].into());
            let settings = Settings::default();
            let app = (app(), waiting());
            serve(theirs, peer, app, settings, &Shutdown::default()).await
        });
        let (requests, connection) = handshake(ours).await.unwrap();
        Client {
            requests,
            connection: tokio::spawn(connection),
            served,
        }
    }

    async fn ask(client: &mut Client, path: &str) -> h2::RecvStream {
        let request = Request::get(format!("http://pgfan{path}"))
            .body(())
            .unwrap();
        let (answer, _) = client.requests.send_request(request, true).unwrap();
        answer.await.unwrap().into_body()
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_without_a_stream_is_over_within_two_minutes() {
        let mut client = client().await;
        let mut body = ask(&mut client, "/now").await;
        while body.data().await.is_some() {}
        drop(body);
        let since = Instant::now();
        client.connection.await.unwrap().unwrap();
        let after = since.elapsed();
        let told = poll_fn(|cx| client.requests.poll_ready(cx))
            .await
            .unwrap_err();
        let is_well = told.is_go_away() && told.reason() == Some(h2::Reason::NO_ERROR);
        assert!(is_well, "{told:?}");
        drop(client.served.await.unwrap());
        assert!(after >= BETWEEN && after <= 2 * BETWEEN, "{after:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_is_asked_once_a_minute_or_has_a_stream_goes_on() {
        let mut client = client().await;
        for _ in 0..10 {
            drop(ask(&mut client, "/now").await);
            tokio::time::sleep(BETWEEN).await;
        }
        let stream = ask(&mut client, "/forever").await;
        tokio::time::sleep(10 * BETWEEN).await;
        assert!(!client.served.is_finished());
        drop(ask(&mut client, "/now").await);
        let since = Instant::now();
        drop(stream);
        drop(client.served.await.unwrap());
        assert!(since.elapsed() <= 3 * BETWEEN, "{:?}", since.elapsed());
    }
}
