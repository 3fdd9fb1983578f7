//! The permissions of one client, and their expiry.

use std::{sync::Arc, time::SystemTime};

use super::{keys::KeyFingerprint, pattern::Patterns, subject::Subject, token::Rules};
use crate::event::ChannelName;

/// Permissions of one client: the channels it may read and publish on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// The channels of the whole gateway; all others are inaccessible to every client.
    allowed: Patterns,
    subscribe: Patterns,
    publish: Patterns,
    metrics: bool,
    expires: Option<SystemTime>,
    subject: Option<Subject>,
    proof: Option<Proof>,
    /// Version of the policy under which the grant was given; see
    /// `Authenticator::version`.
    version: u64,
}

/// Evidence for the token of a grant: its key and the rules it satisfied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Proof {
    pub(super) key: KeyFingerprint,
    /// The key is given directly in the settings.
    pub(super) is_fixed: bool,
    pub(super) rules: Arc<Rules>,
}

impl Grant {
    /// The grant of a gateway without tokens: every channel of `allowed` can be read,
    /// and published on only if the operator allowed it.
    pub fn open(allowed: Patterns, publish: bool) -> Self {
        let publish = if publish {
            Patterns::all()
        } else {
            Patterns::default()
        };
        Self {
            allowed,
            subscribe: Patterns::all(),
            publish,
            metrics: false,
            expires: None,
            subject: None,
            proof: None,
            version: 0,
        }
    }

    /// The grant of a token, valid until the token expires.
    pub(crate) fn of_token(
        allowed: Patterns,
        subscribe: Patterns,
        publish: Patterns,
        expires: SystemTime,
    ) -> Self {
        Self {
            allowed,
            subscribe,
            publish,
            metrics: false,
            expires: Some(expires),
            subject: None,
            proof: None,
            version: 0,
        }
    }

    /// The same grant, valid only as long as `proof` holds.
    pub(super) fn proven_by(self, proof: Proof) -> Self {
        Self {
            proof: Some(proof),
            ..self
        }
    }

    /// The proof of its token; `None` for a client without a token.
    pub(super) fn proof(&self) -> Option<&Proof> {
        self.proof.as_ref()
    }

    /// The same grant under this policy version.
    pub(super) fn of_version(self, version: u64) -> Self {
        Self { version, ..self }
    }

    /// The same grant, with `allowed` as the channels of the gateway.
    pub(super) fn within(self, allowed: Patterns) -> Self {
        Self { allowed, ..self }
    }

    /// Version of the policy under which the grant was given.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The same grant, counted for this subject.
    pub(super) fn of_subject(self, subject: Subject) -> Self {
        Self {
            subject: Some(subject),
            ..self
        }
    }

    /// The same grant, with or without access to the metrics.
    pub(super) fn with_metrics(self, metrics: bool) -> Self {
        Self { metrics, ..self }
    }

    /// Whether the client may read the gateway's metrics.
    pub fn may_see_metrics(&self) -> bool {
        self.metrics
    }

    /// Whether the client may read `channel`. The gateway's own channels are
    /// inaccessible to every client.
    pub fn may_subscribe(&self, channel: &ChannelName) -> bool {
        self.is_somebodys(channel) && self.subscribe.matches(channel)
    }

    /// Whether the client may publish on `channel`.
    pub fn may_publish(&self, channel: &ChannelName) -> bool {
        self.is_somebodys(channel) && self.publish.matches(channel)
    }

    /// Whether it is the grant of a token that permits nothing.
    pub fn is_empty(&self) -> bool {
        let is_none = |patterns: &Patterns| patterns.iter().next().is_none();
        self.proof.is_some() && is_none(&self.subscribe) && is_none(&self.publish) && !self.metrics
    }

    /// Whether both may read the same channels.
    pub fn reads_as(&self, other: &Self) -> bool {
        self.allowed == other.allowed && self.subscribe == other.subscribe
    }

    /// Whether it is the grant of a token that permits reading no channel.
    pub fn reads_nothing(&self) -> bool {
        self.proof.is_some() && self.subscribe.iter().next().is_none()
    }

    /// Expiry by the wall clock; the grant of an open gateway never expires.
    pub fn expires(&self) -> Option<SystemTime> {
        self.expires
    }

    /// Whether it has expired.
    pub(super) fn is_over(&self, now: SystemTime) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }

    /// Subject of its token, if it has one.
    pub fn subject(&self) -> Option<Subject> {
        self.subject
    }

    fn is_somebodys(&self, channel: &ChannelName) -> bool {
        !channel.is_reserved() && self.allowed.matches(channel)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn channel(name: &str) -> ChannelName {
        ChannelName::new(name).unwrap()
    }

    fn patterns(texts: &[&str]) -> Patterns {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn the_gateways_own_channels_are_nobodys() {
        let grant = Grant::open(Patterns::all(), true);
        let own = channel("pgfan:heartbeat");
        assert!(!grant.may_subscribe(&own));
        assert!(!grant.may_publish(&own));
        let other = channel("pgfan");
        assert!(grant.may_subscribe(&other));
        assert!(grant.may_publish(&other));
        assert!(!Grant::open(Patterns::all(), false).may_publish(&other));
        let all = patterns(&["**", "pgfan:heartbeat"]);
        let grant = Grant::of_token(all.clone(), all.clone(), all, SystemTime::now());
        assert!(!grant.may_subscribe(&own));
        assert!(!grant.may_publish(&own));
    }

    #[test]
    fn reading_is_not_publishing_and_neither_goes_beyond_the_gateways_list() {
        let allowed = patterns(&["a", "b"]);
        let (subscribe, publish) = (patterns(&["a", "c"]), patterns(&["b", "c"]));
        let grant = Grant::of_token(allowed.clone(), subscribe, publish, SystemTime::now());
        for (name, reads, publishes) in [
            ("a", true, false),
            ("b", false, true),
            ("c", false, false),
            ("d", false, false),
        ] {
            assert_eq!(grant.may_subscribe(&channel(name)), reads, "{name}");
            assert_eq!(grant.may_publish(&channel(name)), publishes, "{name}");
        }
        let open = Grant::open(allowed, true);
        assert!(open.may_subscribe(&channel("a")) && open.may_publish(&channel("b")));
        assert!(!open.may_subscribe(&channel("c")) && !open.may_publish(&channel("c")));
    }
}
