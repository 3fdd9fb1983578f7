//! Settings that take a restart: detects whether they changed.

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash, Hasher},
};

/// A hash of each text: the text may hold a password, and only a change
/// matters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RestartOnly(BTreeMap<&'static str, u64>);

impl RestartOnly {
    pub(super) fn note(&mut self, name: &'static str, text: &str) {
        let mut hasher = DefaultHasher::new();
        text.hash(&mut hasher);
        self.0.insert(name, hasher.finish());
    }

    /// Names of the settings that differ in `other`.
    pub fn changed(&self, other: &Self) -> Vec<&'static str> {
        let names = self.0.keys().chain(other.0.keys());
        let changed = names.filter(|name| self.0.get(*name) != other.0.get(*name));
        let mut changed: Vec<_> = changed.copied().collect();
        changed.sort_unstable();
        changed.dedup();
        changed
    }
}
