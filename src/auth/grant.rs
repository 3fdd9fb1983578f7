//! What one client may do, and until when.

use std::{sync::Arc, time::SystemTime};

use super::{keys::KeyFingerprint, pattern::Patterns, subject::Subject, token::Rules};
use crate::event::ChannelName;

/// What one client may read and publish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// Of the whole gateway; what is not among them is nobody's.
    allowed: Patterns,
    subscribe: Patterns,
    publish: Patterns,
    metrics: bool,
    expires: Option<SystemTime>,
    subject: Option<Subject>,
    proof: Option<Proof>,
    /// Of the rules by which it was given; see `Authenticator::version`.
    version: u64,
}

/// What made a token a good one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Proof {
    pub(super) key: KeyFingerprint,
    /// The settings themselves give the key.
    pub(super) is_fixed: bool,
    pub(super) rules: Arc<Rules>,
}

impl Grant {
    /// Of a gateway that asks for no token: every channel of `allowed` may be
    /// read, and published on only where the operator said so.
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

    /// Of a token, until it expires.
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

    /// The same, for as long as this holds.
    pub(super) fn proven_by(self, proof: Proof) -> Self {
        Self {
            proof: Some(proof),
            ..self
        }
    }

    /// What made its token a good one; a client without one has none.
    pub(super) fn proof(&self) -> Option<&Proof> {
        self.proof.as_ref()
    }

    /// The same, by these rules.
    pub(super) fn of_version(self, version: u64) -> Self {
        Self { version, ..self }
    }

    /// The same, of a gateway that has these channels.
    pub(super) fn within(self, allowed: Patterns) -> Self {
        Self { allowed, ..self }
    }

    /// By which rules it was given.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The same, counted with the others of this subject.
    pub(super) fn of_subject(self, subject: Subject) -> Self {
        Self {
            subject: Some(subject),
            ..self
        }
    }

    /// The same, and the gateway's metrics, or not.
    pub(super) fn with_metrics(self, metrics: bool) -> Self {
        Self { metrics, ..self }
    }

    /// Whether the client may see how the gateway does.
    pub fn may_see_metrics(&self) -> bool {
        self.metrics
    }

    /// Whether the client may read `channel`. The gateway's own channels are
    /// nobody's.
    pub fn may_subscribe(&self, channel: &ChannelName) -> bool {
        self.is_somebodys(channel) && self.subscribe.matches(channel)
    }

    /// Whether the client may publish on `channel`.
    pub fn may_publish(&self, channel: &ChannelName) -> bool {
        self.is_somebodys(channel) && self.publish.matches(channel)
    }

    /// Whether it is a token's, and that is for nothing.
    pub fn is_empty(&self) -> bool {
        let is_none = |patterns: &Patterns| patterns.iter().next().is_none();
        self.proof.is_some() && is_none(&self.subscribe) && is_none(&self.publish) && !self.metrics
    }

    /// Whether both may read the same channels.
    pub fn reads_as(&self, other: &Self) -> bool {
        self.allowed == other.allowed && self.subscribe == other.subscribe
    }

    /// Whether it is a token's, and no channel can be read with it.
    pub fn reads_nothing(&self) -> bool {
        self.proof.is_some() && self.subscribe.iter().next().is_none()
    }

    /// When it ends, by the wall clock; an open gateway's never does.
    pub fn expires(&self) -> Option<SystemTime> {
        self.expires
    }

    /// Whether it has ended.
    pub(super) fn is_over(&self, now: SystemTime) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }

    /// Whom its token is of; without one it is of nobody in particular.
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
