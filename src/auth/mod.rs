//! What a client may do. Knows no transport: credentials in, [`Grant`] out.

use crate::event::ChannelName;

/// What one client may read and publish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    publish: bool,
}

impl Grant {
    /// The grant of an open gateway: every channel may be read, and published
    /// on only where the operator said so.
    pub fn open(publish: bool) -> Self {
        Self { publish }
    }

    /// Whether the client may read `channel`. The gateway's own channels are
    /// nobody's.
    pub fn may_subscribe(&self, channel: &ChannelName) -> bool {
        !channel.is_reserved()
    }

    /// Whether the client may publish on `channel`.
    pub fn may_publish(&self, channel: &ChannelName) -> bool {
        self.publish && !channel.is_reserved()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gateways_own_channels_are_nobodys() {
        let grant = Grant::open(true);
        let own = ChannelName::new("pgfan:heartbeat").unwrap();
        assert!(!grant.may_subscribe(&own));
        assert!(!grant.may_publish(&own));
        let other = ChannelName::new("pgfan").unwrap();
        assert!(grant.may_subscribe(&other));
        assert!(grant.may_publish(&other));
        assert!(!Grant::open(false).may_publish(&other));
    }
}
