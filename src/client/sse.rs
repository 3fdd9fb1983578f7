//! Reading over SSE.

use async_stream::try_stream;
use http::header;
use http_body_util::BodyExt;
use hyper::body::Bytes;
use tokio::time::timeout;
use tokio_stream::Stream;

use super::{
    Gateway, ReadOptions, StreamItem, ended::Ended, event_stream::EventStream, message::Message,
};

/// Reads one connection to its end.
pub(super) fn read(
    gateway: Gateway,
    reading: ReadOptions,
) -> impl Stream<Item = Result<StreamItem, Ended>> + Send {
    try_stream! {
        let head = gateway.head("GET", &format!("/v1/sse?{}", reading.query()))?;
        let head = head.header(header::ACCEPT, "text/event-stream");
        let mut answer = gateway.send(head, Bytes::new()).await?;
        let mut stream = EventStream::default();
        let patience = 2 * reading.keepalive;
        loop {
            let frame = timeout(patience, answer.body.frame()).await;
            let frame = frame
                .map_err(|_| Ended::disconnected(format!("nothing came for {patience:?}")))?
                .ok_or_else(|| Ended::disconnected("the connection ended"))?
                .map_err(Ended::disconnected)?;
            let bytes = frame.into_data().unwrap_or_default();
            let messages = stream.feed(&bytes);
            let messages = messages.map_err(|_| Ended::disconnected("what came is no event stream"))?;
            for message in messages {
                yield StreamItem::Message(Message::parse(&message)?);
            }
        }
    }
}
