//! Reading over a WebSocket.

use std::time::Duration;

use async_stream::try_stream;
use futures_util::{SinkExt, StreamExt};
use http::header::{CONNECTION, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE};
use tokio::{
    select,
    time::{Instant, MissedTickBehavior, interval_at, timeout},
};
use tokio_stream::Stream;
use tokio_tungstenite::{WebSocketStream, client_async};
use tungstenite::{Error, Message as Frame, handshake::client::generate_key};

use super::{
    Gateway, ReadOptions, StreamItem, Token, dial::dial, ended::Ended, message::Message,
    request::LIMIT,
};
use crate::outgoing::IoStream;

/// Reads one connection to its end.
pub(super) fn read(
    gateway: Gateway,
    reading: ReadOptions,
) -> impl Stream<Item = Result<StreamItem, Ended>> + Send {
    try_stream! {
        let path = format!("/v1/ws?{}", reading.query());
        let mut socket = timeout(LIMIT, open(&gateway, &path))
            .await
            .map_err(|_| Ended::disconnected(format!("no answer within {LIMIT:?}")))??;
        if matches!(gateway.token, Token::None) {
            // If sending fails, the next read returns the reason.
            let _ = socket.send(Frame::text(NO_TOKEN)).await;
        }
        let mut pings = interval_at(Instant::now() + reading.keepalive, reading.keepalive);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut heard = Instant::now();
        loop {
            let said = select! {
                frame = socket.next() => {
                    heard = Instant::now();
                    decode(frame)
                }
                _ = pings.tick() => ping(&mut socket, heard, reading.keepalive).await,
            };
            yield said?;
        }
    }
}

/// First frame without a token. A gateway that requires a token would wait for it
/// in the first frame: this frame makes it refuse at once. Other gateways answer it
/// at once.
const NO_TOKEN: &str = r#"{"type":"unsubscribe","channels":[]}"#;

type Socket = WebSocketStream<Box<dyn IoStream>>;

async fn open(gateway: &Gateway, path: &str) -> Result<Socket, Ended> {
    let uri = format!(
        "ws://{}{}",
        gateway.address.authority(),
        gateway.address.path(path)
    );
    let head = gateway.head("GET", path)?.uri(uri);
    let request = head
        .header(CONNECTION, "Upgrade")
        .header(UPGRADE, "websocket")
        .header(SEC_WEBSOCKET_VERSION, "13")
        .header(SEC_WEBSOCKET_KEY, generate_key())
        .body(());
    let request = request.map_err(Ended::disconnected)?;
    let carrier = dial(&gateway.address, "http/1.1").await?;
    match client_async(request, carrier).await {
        Ok((socket, _)) => Ok(socket),
        Err(Error::Http(response)) => {
            let body = response.body().as_deref().unwrap_or_default();
            let after = response.headers().get(http::header::RETRY_AFTER);
            let after = after.and_then(|value| value.to_str().ok()?.parse().ok());
            let after = after.map(Duration::from_secs);
            let (address, status) = (&gateway.address, response.status());
            Err(Ended::from_answer(address, status, body, after))
        }
        Err(error) => Err(Ended::no_answer(&gateway.address, error)),
    }
}

/// The gateway answers a ping, so a connection without input is dead.
async fn ping(
    socket: &mut Socket,
    heard: Instant,
    keepalive: Duration,
) -> Result<StreamItem, Ended> {
    let silent = heard.elapsed();
    if silent >= 2 * keepalive {
        return Err(Ended::disconnected(format!("nothing came for {silent:?}")));
    }
    let sent = timeout(keepalive, socket.send(Frame::Ping(Vec::new().into()))).await;
    sent.map_err(|_| Ended::disconnected("a ping could not be sent"))?
        .map_err(Ended::disconnected)?;
    Ok(StreamItem::Nothing)
}

fn decode(frame: Option<Result<Frame, Error>>) -> Result<StreamItem, Ended> {
    let gone = || Ended::disconnected("the connection ended");
    match frame.ok_or_else(gone)?.map_err(Ended::disconnected)? {
        Frame::Text(text) => match Message::parse(&text)? {
            // The answer to `NO_TOKEN`.
            Message::Unsubscribed { channels } if channels.is_empty() => Ok(StreamItem::Nothing),
            message => Ok(StreamItem::Message(message)),
        },
        Frame::Close(Some(frame)) => Err(Ended::from_close(frame.code.into(), &frame.reason)),
        Frame::Close(None) => Err(gone()),
        _ => Ok(StreamItem::Nothing),
    }
}
