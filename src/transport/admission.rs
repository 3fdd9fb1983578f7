//! The one door: what a client asks for and may have becomes a
//! [`Subscription`] or a publish, or a [`Refusal`]. The same on every wire.

use std::{sync::Arc, time::Duration};

use tokio::sync::watch;

use super::{
    codes::{Code, Refusal},
    idle::Idle,
};
use crate::{
    auth::{Grant, Patterns},
    event::{ChannelName, EventId, Payload},
    hub::{Cursor, Hub, Subscription},
    publish::Publisher,
};

/// What every transport needs. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Admission {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    hub: Hub,
    publisher: Publisher,
    allow_publish: bool,
    settings: Settings,
}

/// The transports' settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// An idle reader gets a sign of life this often.
    pub keepalive: Duration,
    /// The largest WebSocket message of a client, in bytes.
    pub max_client_frame: usize,
    /// A reader that takes nothing, or whose client answers no ping, for so
    /// long is closed.
    pub write_timeout: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            keepalive: Duration::from_secs(15),
            max_client_frame: 64 << 10,
            write_timeout: Duration::from_secs(30),
        }
    }
}

impl Settings {
    /// Of a reader whose client answers pings.
    pub(super) fn answered_idle(&self) -> Idle {
        Idle::answered(self.keepalive, self.write_timeout)
    }
}

impl Admission {
    /// `allow_publish`: whether a client without a token may publish.
    pub fn new(hub: Hub, publisher: Publisher, allow_publish: bool, settings: Settings) -> Self {
        let shared = Shared {
            hub,
            publisher,
            allow_publish,
            settings,
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    pub(super) fn settings(&self) -> Settings {
        self.shared.settings
    }

    /// Whether the gateway does all it is there for.
    pub(super) fn ready(&self) -> watch::Receiver<bool> {
        self.shared.hub.ready()
    }

    /// What this client may do. Without tokens, everybody may do the same.
    fn grant(&self) -> Grant {
        Grant::open(Patterns::all(), self.shared.allow_publish)
    }

    /// A reader of `channels`; of none, where the wire can ask for them later.
    pub(super) fn subscribe(
        &self,
        channels: &[String],
        cursor: Option<Cursor>,
    ) -> Result<Subscription, Refusal> {
        let channels = self.readable(channels)?;
        let mut subscription = self.shared.hub.subscribe()?;
        if !channels.is_empty() {
            subscription.join(&channels, cursor)?;
        }
        Ok(subscription)
    }

    /// The channels of this client's request, all of them or none.
    pub(super) fn readable(&self, channels: &[String]) -> Result<Vec<ChannelName>, Refusal> {
        let grant = self.grant();
        let readable = channels.iter().map(|name| {
            let channel = ChannelName::new(name)?;
            if grant.may_subscribe(&channel) {
                Ok(channel)
            } else {
                let message = format!("the channel {name:?} cannot be read");
                Err(Refusal::new(Code::Forbidden, message))
            }
        });
        readable.collect()
    }

    /// The channel, if this client may publish on it.
    pub(super) fn publishable(&self, channel: &str) -> Result<ChannelName, Refusal> {
        let channel = ChannelName::new(channel)?;
        if !self.grant().may_publish(&channel) {
            let message = format!("{channel:?} cannot be published on");
            return Err(Refusal::new(Code::Forbidden, message));
        }
        Ok(channel)
    }

    /// Notifies, and returns after the commit.
    pub(super) async fn publish(
        &self,
        channel: ChannelName,
        payload: String,
    ) -> Result<(), Refusal> {
        let payload = Payload::new(payload)?;
        Ok(self.shared.publisher.publish(channel, payload).await?)
    }
}

/// What a client handed in to resume from; nothing is no cursor, and anything
/// else is one, however strange: it is answered by a gap, never by an error.
pub(super) fn cursor(text: &[u8]) -> Option<Cursor> {
    if text.is_empty() {
        return None;
    }
    let text = std::str::from_utf8(text).ok();
    let id = text.and_then(|text| text.parse::<EventId>().ok());
    Some(id.map_or(Cursor::Strange, Cursor::At))
}
