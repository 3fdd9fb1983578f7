//! Limits of one client: settings whose defaults are fractions of others.

use super::{access::list, rule::Rule, values::number};
use crate::transport::{self, Network, Proxies};

/// Limits while they are read.
#[derive(Default)]
pub(super) struct Limits {
    pub(super) readers_per_address: Option<usize>,
    pub(super) readers_per_token: Option<usize>,
    pub(super) channels_per_client: Option<usize>,
    pub(super) publish_rate: Option<usize>,
    pub(super) proxies: Proxies,
}

impl Limits {
    /// Half of all channels by default; other clients have the rest.
    pub(super) fn channels_per_client(&self, max_channels: usize) -> usize {
        let half = max_channels.div_ceil(2);
        self.channels_per_client.unwrap_or(half)
    }

    /// Default: half of all readers, and of the `room` connections that the
    /// process may open. A harmless client that stands for many, such as an
    /// unknown proxy or a shared token, has ample room, and no single client
    /// takes everything.
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

/// A comma-separated list.
pub(super) fn proxies(slot: &mut Proxies, text: &str) -> Result<(), Rule> {
    *slot = list::<Network>(text)?.into();
    Ok(())
}
