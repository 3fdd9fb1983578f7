//! What one client may have: the settings whose defaults are a part of others.

use super::{access::list, rule::Rule, values::number};
use crate::transport::{self, Network, Proxies};

/// Settings on their way.
#[derive(Default)]
pub(super) struct Limits {
    pub(super) readers_per_address: Option<usize>,
    pub(super) readers_per_token: Option<usize>,
    pub(super) channels_per_client: Option<usize>,
    pub(super) publish_rate: Option<usize>,
    pub(super) proxies: Proxies,
}

impl Limits {
    /// Half of all channels by default: one client leaves the other half.
    pub(super) fn channels_per_client(&self, max_channels: usize) -> usize {
        let half = max_channels.div_ceil(2);
        self.channels_per_client.unwrap_or(half)
    }

    /// Half of all readers, where nothing else is said: whoever is one client
    /// to pgfan and none of harm, a proxy it does not know or a token that many
    /// share, has room for long, and nobody alone takes all there is. Nor is
    /// there more than the process may open: `room` connections.
    pub(super) fn done(self, max_readers: usize, room: usize) -> transport::Limits {
        let half = max_readers.min(room).div_ceil(2);
        let default = transport::Limits::default();
        transport::Limits {
            readers_per_address: self.readers_per_address.unwrap_or(half),
            readers_per_token: self.readers_per_token.unwrap_or(half),
            publish_rate: self.publish_rate.unwrap_or(default.publish_rate),
            proxies: self.proxies,
        }
    }
}

pub(super) fn some_number(slot: &mut Option<usize>, text: &str) -> Result<(), Rule> {
    let mut value = 0;
    number(&mut value, text, 1..=10_000_000)?;
    *slot = Some(value);
    Ok(())
}

/// A list with commas between.
pub(super) fn proxies(slot: &mut Proxies, text: &str) -> Result<(), Rule> {
    *slot = list::<Network>(text)?.into();
    Ok(())
}
