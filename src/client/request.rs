//! HTTP/1.1 requests of the client.

use std::{pin::pin, time::Duration};

use futures_util::FutureExt;
use http::{Request, Response, header, request};
use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    body::{Bytes, Incoming},
    client::conn::http1,
};
use hyper_util::rt::TokioIo;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::{select, time::timeout};
use tokio_util::task::AbortOnDropHandle;

use super::{Gateway, ReadOptions, address::Address, dial::dial, ended::Ended};

/// Time limit until an answer begins: longer than the gateway waits for a commit.
pub(super) const LIMIT: Duration = Duration::from_secs(30);

/// Limit of an error body: more than any problem document; a proxy's page is
/// truncated.
const MAX_PROBLEM: usize = 64 << 10;

/// A successful response. Dropping it closes the connection.
pub(super) struct Answer {
    pub(super) body: Incoming,
    _connection: AbortOnDropHandle<()>,
}

impl Gateway {
    /// Request head for the gateway's `path`, with the token.
    pub(super) fn head(&self, method: &str, path: &str) -> Result<request::Builder, Ended> {
        let mut head = Request::builder()
            .method(method)
            .uri(self.address.path(path))
            .header(header::HOST, self.address.authority());
        // The file may be in the middle of a replacement: a temporary error.
        let token = self.token.header().map_err(Ended::unreachable)?;
        if let Some(token) = token {
            head = head.header(header::AUTHORIZATION, token);
        }
        Ok(head)
    }

    /// Sends the request on a new connection.
    pub(super) async fn send(&self, head: request::Builder, body: Bytes) -> Result<Answer, Ended> {
        let request = head.body(Full::new(body));
        let request = request.map_err(Ended::disconnected)?;
        let carrier = TokioIo::new(dial(&self.address, "http/1.1").await?);
        let handshake = http1::handshake(carrier).await;
        let strange = |error| Ended::no_answer(&self.address, told(&error));
        let (mut sender, connection) = handshake.map_err(strange)?;
        let mut connection = AbortOnDropHandle::new(tokio::spawn(async {
            // The request notices its end.
            let _ = connection.await;
        }));
        let asking = sender.send_request(request);
        let answered = answered(&self.address, asking, &mut connection).await?;
        let response = answered.map_err(strange)?;
        if !response.status().is_success() {
            return Err(self.refusal(response).await);
        }
        Ok(Answer {
            body: response.into_body(),
            _connection: connection,
        })
    }

    async fn refusal(&self, response: Response<Incoming>) -> Ended {
        let (head, body) = response.into_parts();
        let seconds = head.headers.get(header::RETRY_AFTER);
        let seconds = seconds.and_then(|value| value.to_str().ok()?.parse().ok());
        let body = timeout(LIMIT, Limited::new(body, MAX_PROBLEM).collect()).await;
        let body = body.ok().and_then(Result::ok);
        let bytes = body.map(|body| body.to_bytes()).unwrap_or_default();
        let after = seconds.map(Duration::from_secs);
        Ended::from_answer(&self.address, head.status, &bytes, after)
    }
}

/// hyper's error with its cause: its own text contains only half.
fn told(error: &hyper::Error) -> String {
    let cause = std::error::Error::source(error);
    cause.map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}"))
}

/// The answer, or an error if none comes. A request sent just when its connection
/// ends may stay in a queue that is not read any more, so the connection is polled
/// too. It may also end between the two polls with the answer ready, so the answer
/// is polled again.
pub(super) async fn answered<T>(
    address: &Address,
    asking: impl Future<Output = T>,
    connection: &mut AbortOnDropHandle<()>,
) -> Result<T, Ended> {
    let answered = async {
        let mut asking = pin!(asking);
        select! {
            biased;
            answer = &mut asking => Ok(answer),
            _ = connection => {
                let none = || Ended::no_answer(address, "the connection ended");
                asking.now_or_never().ok_or_else(none)
            }
        }
    };
    let answered = timeout(LIMIT, answered).await;
    answered.map_err(|_| Ended::disconnected(format!("no answer within {LIMIT:?}")))?
}

impl ReadOptions {
    /// Query of the WebSocket and SSE APIs.
    pub(super) fn query(&self) -> String {
        let channels = self.channels.iter().map(|name| ("channel", name.as_str()));
        let cursor = Some(("cursor", self.cursor.as_str())).filter(|(_, text)| !text.is_empty());
        let pairs = channels.chain(cursor);
        let pairs: Vec<_> = pairs
            .map(|(name, value)| format!("{name}={}", encoded(value)))
            .collect();
        pairs.join("&")
    }
}

pub(super) fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

#[cfg(test)]
mod tests {
    use std::{
        future::{pending, poll_fn},
        task::Poll,
    };

    use super::*;

    /// As hyper's queue leaves it on rare occasions.
    #[tokio::test]
    async fn a_request_that_nobody_reads_ends_with_its_connection() {
        let mut connection = AbortOnDropHandle::new(tokio::spawn(async {}));
        let address = "http://h:1".parse().unwrap();
        let answered = answered(&address, pending::<()>(), &mut connection).await;
        let ended = Ended::no_answer(&address, "the connection ended");
        assert_eq!(answered, Err(ended));
    }

    #[tokio::test]
    async fn an_answer_counts_though_its_connection_has_ended() {
        let mut connection = AbortOnDropHandle::new(tokio::spawn(async {}));
        tokio::task::yield_now().await;
        let address = "http://h:1".parse().unwrap();
        let answered = answered(&address, async { 1 }, &mut connection).await;
        assert_eq!(answered, Ok(1));
    }

    #[tokio::test]
    async fn an_answer_counts_that_comes_while_its_connection_ends() {
        let mut connection = AbortOnDropHandle::new(tokio::spawn(async {}));
        tokio::task::yield_now().await;
        let address = "http://h:1".parse().unwrap();
        // Not ready at the first poll, and it wakes no task later.
        let mut looks = 0;
        let asking = poll_fn(|_| {
            looks += 1;
            if looks > 1 {
                Poll::Ready(1)
            } else {
                Poll::Pending
            }
        });
        let answered = answered(&address, asking, &mut connection).await;
        assert_eq!(answered, Ok(1));
    }
}
