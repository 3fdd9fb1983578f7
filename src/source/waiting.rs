//! Queue of names that wait for their LISTEN, in favour of small requests. Pure.

use std::collections::{BTreeMap, HashMap};

use crate::{
    channel_demand::{Generation, Rank},
    event::ChannelName,
};

/// Position in the queue: the batch, then the order of the requests.
type Turn = (u64, Generation);

/// Names that wait for their LISTEN.
///
/// The first name of each request is assigned to the next batch, its second to the one
/// after that, and so on, but all are sent as soon as there is room. So a request of
/// one name precedes one of hundreds, and after at most a hundred batches no new name
/// precedes the hundredth name of a request.
///
/// Bounded by the hub's `max_channels`: names that are no longer wanted are removed.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    names: BTreeMap<Turn, ChannelName>,
    turns: HashMap<ChannelName, Turn>,
    /// Number of batches taken.
    batches: u64,
}

impl Waiting {
    /// Adds a name, or moves it to the position of its newest request.
    pub(super) fn insert(&mut self, name: ChannelName, generation: Generation, rank: Rank) {
        self.remove(&name);
        let turn = (self.batches + u64::from(rank), generation);
        self.names.insert(turn, name.clone());
        self.turns.insert(name, turn);
    }

    pub(super) fn remove(&mut self, name: &ChannelName) {
        if let Some(turn) = self.turns.remove(name) {
            self.names.remove(&turn);
        }
    }

    /// Starts another batch.
    pub(super) fn next_batch(&mut self) {
        self.batches += 1;
    }

    /// Removes and returns the next name.
    pub(super) fn pop(&mut self) -> Option<ChannelName> {
        let (_, name) = self.names.pop_first()?;
        self.turns.remove(&name);
        Some(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Crowd {
        waiting: Waiting,
        generation: Generation,
    }

    impl Crowd {
        fn asks(&mut self, request: &str, count: Rank) {
            for rank in 0..count {
                self.generation += 1;
                let name = ChannelName::new(&format!("{request} {rank}")).unwrap();
                self.waiting.insert(name, self.generation, rank);
            }
        }

        fn batch(&mut self, size: usize) -> Vec<String> {
            self.waiting.next_batch();
            let names = (0..size).map_while(|_| self.waiting.pop());
            names.map(|name| name.as_str().to_owned()).collect()
        }
    }

    #[test]
    fn who_asks_for_one_name_goes_before_who_asks_for_many() {
        let mut crowd = Crowd::default();
        for request in 0..50 {
            crowd.asks(&format!("many {request}"), 128);
        }
        for n in 0..20 {
            assert_eq!(crowd.batch(100).len(), 100);
            crowd.asks("many more", 128);
            crowd.asks(&format!("one {n}"), 1);
            let next = crowd.batch(100);
            assert!(next.contains(&format!("one {n} 0")), "{n}: {next:?}");
        }
    }

    /// However many requests of one name arrive.
    #[test]
    fn who_asks_for_many_gets_the_last_one_too() {
        let mut crowd = Crowd::default();
        crowd.asks("many", 128);
        let mut batches = 0;
        let mut rest = 128;
        while rest > 0 {
            for n in 0..20 {
                crowd.asks(&format!("{batches} {n}"), 1);
            }
            let served = crowd.batch(20);
            rest -= served.iter().filter(|n| n.starts_with("many ")).count();
            batches += 1;
        }
        assert!((128..=300).contains(&batches), "{batches} batches");
    }

    #[test]
    fn only_the_newest_wish_for_a_name_counts() {
        let mut crowd = Crowd::default();
        crowd.asks("a", 2);
        crowd.asks("b", 1);
        crowd.asks("a", 2);
        let b = ChannelName::new("b 0").unwrap();
        crowd.waiting.remove(&b);
        assert_eq!(crowd.batch(10), ["a 0", "a 1"]);
        assert!(crowd.batch(10).is_empty());
    }
}
