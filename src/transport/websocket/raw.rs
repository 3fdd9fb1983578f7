//! WebSockets that carry only payloads: `format=raw` and the PGCacheWatch API. The
//! 101 stands for `ready`, and a closed socket for `gap` and `interrupted`: these
//! transports cannot carry other messages.

use std::future::poll_fn;

use axum::response::Response;
use bytes::Bytes;
use futures_util::StreamExt;
use tungstenite::Message;

use super::{
    connection::{ConnectionEvent, Frame, Reader},
    socket::frame,
    upgrade::Upgrade,
};
use crate::{
    auth::Grant,
    event::{Event, Form},
    hub::{Delivery, Ended},
    transport::{
        access::{admission::Admission, authorized::AuthorizedSubscription},
        connection::{keepalive::Keepalive, takeover::ConnectionTask},
        delivery::{end::End, outbound::Wire},
        protocol::codes::{Code, Refusal},
    },
};

/// Handling of the client's text and binary frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ClientFrames {
    /// As PGCacheWatch itself does.
    Ignored,
    /// A request that cannot be answered must not look as if it had succeeded.
    Refused,
}

/// Responds once the subscription is ready, or can resume without a gap, or with
/// its refusal.
pub(super) async fn upgrade(
    upgrade: Upgrade,
    mut subscription: AuthorizedSubscription,
    grant: &Grant,
    admission: &Admission,
    frames: ClientFrames,
) -> Result<Response, Refusal> {
    upgrade.is_admitted();
    let missed = match subscription.next().await {
        Some(Ok(Delivery::Ready { .. })) => None,
        Some(Ok(Delivery::Event(event))) if !subscription.has_gap_ahead() => Some(event),
        Some(Ok(other)) => return Err(told_by_closing(&other)),
        Some(Err(refusal)) => return Err(refusal),
        None => return Err(Refusal::from(Ended::ShuttingDown)),
    };
    let mut idle = Keepalive::answered_with(&admission.settings());
    idle.expire(grant.expires());
    Ok(upgrade.accept(move |socket| {
        let mut reader = Reader::new(socket, subscription, idle, &WIRE);
        if let Some(event) = missed {
            let first = Event::encoded(&event, WIRE.form, WIRE.encode);
            reader.outbound.say(first.clone());
        }
        ConnectionTask::by(Box::new(Connection { reader, frames }).run())
    }))
}

struct Connection {
    reader: Reader,
    frames: ClientFrames,
}

impl Connection {
    /// Boxed, so that the idle task is small.
    async fn run(mut self: Box<Self>) {
        let end = loop {
            let turn = match poll_fn(|cx| self.reader.poll_turn(cx, true)).await {
                ConnectionEvent::Delivered(delivered) => delivered,
                ConnectionEvent::Ping => self.reader.socket.send(Message::Ping(Bytes::new())).await,
                ConnectionEvent::Read(frame) => self.read(frame).await,
            };
            if let Err(end) = turn {
                break end;
            }
        };
        self.reader.leave(end).await;
    }

    async fn read(&mut self, frame: Frame) -> Result<(), End> {
        self.reader.outbound.idle.heard();
        match frame {
            Some(Ok(Message::Text(_) | Message::Binary(_)))
                if self.frames == ClientFrames::Refused =>
            {
                let rule = "a raw stream takes no frames of the client";
                Err(End::Refused(Refusal::invalid(rule)))
            }
            Some(Ok(Message::Ping(_))) => self.reader.socket.flush().await,
            Some(Ok(Message::Close(_))) | None => Err(End::ByClient),
            Some(Ok(_)) => Ok(()),
            Some(Err(end)) => Err(end),
        }
    }
}

/// Sends events only; anything else but `ready` ends the stream.
const WIRE: Wire = Wire {
    form: Form::WebSocketRaw,
    encode: |event| frame(event.payload.to_string()).into(),
    put: |item, _| match item {
        // End of the missed events: the 101 stands for it.
        Ok(Delivery::Ready { .. }) => Ok(()),
        Ok(delivery) => Err(End::Refused(told_by_closing(&delivery))),
        Err(refusal) => Err(End::Refused(refusal)),
    },
};

fn told_by_closing(delivery: &Delivery) -> Refusal {
    let message = match delivery {
        Delivery::Gap { reason, .. } => format!("gap ({})", reason.as_str()),
        Delivery::Event(_) => "gap among what was missed".to_owned(),
        _ => "the source is lost".to_owned(),
    };
    Refusal::new(Code::Interrupted, message)
}
