//! A cache by the contract's recipe: filled only after `ready`, emptied by a
//! gap, bypassed while interrupted or disconnected. A fill that was overtaken
//! by an invalidation is discarded.
//!
//! It does no I/O and reads no clock: the messages are passed to it.

use std::collections::HashMap;

use crate::{application::key, support::Said};

#[derive(Debug, Default)]
pub struct Cache {
    values: HashMap<i32, i64>,
    /// Whether it may be used: after `ready` or `live`, until an interruption
    /// or the end of the connection.
    live: bool,
    /// Number of invalidations of each key.
    invalidations: HashMap<i32, u64>,
    flushes: u64,
}

/// Changes whenever a value that is being read for a key may be out of date.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Generation {
    flushes: u64,
    invalidations: u64,
}

/// A cached value that differs from the table's, without an invalidation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stale {
    pub key: i32,
    pub cached: i64,
    pub table: i64,
}

impl Cache {
    pub fn hear(&mut self, said: &Said) {
        match said {
            Said::Ready { .. } | Said::Live { .. } => self.live = true,
            Said::Event { payload, .. } => {
                let key = key(payload);
                self.values.remove(&key);
                *self.invalidations.entry(key).or_default() += 1;
            }
            Said::Gap { .. } => self.flush(),
            Said::Interrupted | Said::Closed(..) => self.live = false,
            Said::Answer(_) => {}
        }
    }

    /// Without a cursor to resume from, the cache is flushed.
    pub fn disconnected(&mut self, has_cursor: bool) {
        self.live = false;
        if !has_cursor {
            self.flush();
        }
    }

    fn flush(&mut self) {
        self.values.clear();
        self.flushes += 1;
    }

    /// The keys of `keys` that have to be read, each with its generation before
    /// that; none while the cache is bypassed.
    pub fn missing(&self, keys: impl Iterator<Item = i32>) -> HashMap<i32, Generation> {
        let keys = keys.filter(|key| self.live && !self.values.contains_key(key));
        keys.map(|key| (key, self.generation(key))).collect()
    }

    /// Keeps the values that were read, unless they were overtaken; returns
    /// their number.
    pub fn fill(&mut self, missing: &HashMap<i32, Generation>, read: &HashMap<i32, i64>) -> u64 {
        let mut filled = 0;
        for (&key, &generation) in missing {
            if self.live && self.generation(key) == generation {
                self.values.insert(key, read[&key]);
                filled += 1;
            }
        }
        filled
    }

    fn generation(&self, key: i32) -> Generation {
        Generation {
            flushes: self.flushes,
            invalidations: self.invalidations.get(&key).copied().unwrap_or_default(),
        }
    }

    pub fn is_live(&self) -> bool {
        self.live
    }

    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// It is live, not empty, and all its values are those of the table.
    pub fn agrees_with(&self, table: &HashMap<i32, i64>) -> bool {
        let is_true = |(key, value): (&i32, &i64)| table[key] == *value;
        self.live && !self.values.is_empty() && self.values.iter().all(is_true)
    }

    /// Keys whose cached value is older than this, by key.
    pub fn older_than(&self, known: &[i64]) -> Vec<i32> {
        let is_older = |(key, value): &(&i32, &i64)| **value < known[**key as usize];
        let older = self.values.iter().filter(is_older);
        older.map(|(key, _)| *key).collect()
    }

    pub fn stale(&self, table: &HashMap<i32, i64>) -> Vec<Stale> {
        let entries = self.values.iter().map(|(&key, &cached)| Stale {
            key,
            cached,
            table: table[&key],
        });
        let mut stale: Vec<_> = entries
            .filter(|entry| entry.cached != entry.table)
            .collect();
        stale.sort_by_key(|entry| entry.key);
        stale
    }
}
