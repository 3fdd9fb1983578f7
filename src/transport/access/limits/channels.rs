//! Limits of one client on channels: how many it owns, and how fast it creates them.

use tracing::warn;

use super::{
    Client, LogThrottle, Rate,
    rates::{Rates, Refused},
};
use crate::{
    event::ChannelName,
    hub::{Cursor, JoinError, NewChannels, Subscription},
    transport::protocol::codes::{Code, Refusal},
};

/// New channels of one client a second. Each is a LISTEN and later an UNLISTEN in
/// PostgreSQL; at this rate they use a small part of one core there. The bucket holds
/// the client's limit of channels, so that a reconnecting client gets all of them at
/// once.
const NEW_CHANNELS_PER_SECOND: usize = 1000;

/// Token buckets for new channels by client, and the intervals of log lines.
#[derive(Debug, Default)]
pub(super) struct Channels {
    created: Rates<Client>,
    rate_news: LogThrottle,
    client_news: LogThrottle,
    total_news: LogThrottle,
}

impl Channels {
    /// Joins `channels` for this client. Only new channels count.
    pub(super) fn join(
        &self,
        client: Client,
        subscription: &mut Subscription,
        channels: &[ChannelName],
        cursor: Option<Cursor>,
    ) -> Result<(), Refusal> {
        let mut too_fast = None;
        let joined = subscription.join_if(channels, cursor, |new| {
            too_fast = self.take(client, new).err();
            too_fast.is_none()
        });
        joined.map_err(|error| {
            self.log(client, &error, too_fast.as_ref());
            too_fast.unwrap_or_else(|| error.into())
        })
    }

    fn take(&self, client: Client, new: NewChannels) -> Result<(), Refusal> {
        let burst = new.client_limit;
        let rate = Rate::a_second(NEW_CHANNELS_PER_SECOND).with_burst(burst);
        let taken = self.created.take_some(client, rate, new.count);
        taken.map_err(|refused| {
            let rule = match refused {
                Refused::TooFast => format!(
                    "at most {NEW_CHANNELS_PER_SECOND} new channels a second for one client, in \
                     bursts of at most {burst} (--max-channels-per-client)"
                ),
                Refused::TooManyClients => "too many clients create channels".to_owned(),
            };
            Refusal::new(Code::TooMany, rule)
        })
    }

    /// Logs a refused join; each kind once a minute.
    fn log(&self, client: Client, error: &JoinError, too_fast: Option<&Refusal>) {
        match error {
            JoinError::CreationRefused if self.rate_news.is_news() => {
                let rule = too_fast.map(|refusal| refusal.message.as_str());
                warn!(%client, rule, "a client creates channels too fast");
            }
            JoinError::TooManyForClient(limit) if self.client_news.is_news() => {
                warn!(%client, limit, "a client reached --max-channels-per-client");
            }
            JoinError::TooMany if self.total_news.is_news() => {
                warn!(%client, "the gateway reached --max-channels; a client was refused");
            }
            _ => {}
        }
    }
}
