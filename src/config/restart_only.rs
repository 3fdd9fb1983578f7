//! The settings that take a restart: whether they are others now.

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash, Hasher},
};

/// A hash of each text: it may hold a password, and all that matters is whether
/// it is another.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RestartOnly(BTreeMap<&'static str, u64>);

impl RestartOnly {
    pub(super) fn note(&mut self, name: &'static str, text: &str) {
        let mut hasher = DefaultHasher::new();
        text.hash(&mut hasher);
        self.0.insert(name, hasher.finish());
    }

    /// Those that are others in `other`.
    pub fn changed(&self, other: &Self) -> Vec<&'static str> {
        let names = self.0.keys().chain(other.0.keys());
        let changed = names.filter(|name| self.0.get(*name) != other.0.get(*name));
        let mut changed: Vec<_> = changed.copied().collect();
        changed.sort_unstable();
        changed.dedup();
        changed
    }
}
