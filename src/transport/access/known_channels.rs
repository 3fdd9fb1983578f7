//! Cache of the channels that `GET /v1/status` names, by grant. Listing all
//! channels and comparing each with all patterns of a token takes milliseconds,
//! and every admitted client may request it continuously.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    auth::Grant,
    hub::{ChannelView, Hub},
};

/// Maximum number of channels listed by name, those with the most readers: a
/// page shows no more. The rest are a number.
const NAMED: usize = 200;

/// Below this number of channels nothing is cached: with a thousand patterns,
/// more than a token has, listing them takes some milliseconds.
const FEW: usize = 100;

/// Lifetime of a cached list: pages request it once a second at most.
const FRESH: Duration = Duration::from_secs(1);

/// Maximum number of grants whose channels are cached with a list, at most 12
/// KiB each with the patterns; further grants are compared for each request.
const GRANTS: usize = 16;

/// The channels listed for a grant, and the number of those left out.
pub(super) type Named = (Vec<ChannelView>, usize);

/// Cached list of all channels, with the results for some grants.
#[derive(Debug, Default)]
pub(super) struct KnownChannels(Mutex<Option<Look>>);

#[derive(Debug)]
struct Look {
    at: Instant,
    /// Sorted by readers, most first.
    all: Arc<[ChannelView]>,
    named: Vec<(Arc<Grant>, Named)>,
}

impl KnownChannels {
    pub(super) fn of(&self, grant: &Arc<Grant>, hub: &Hub) -> Named {
        let all = match self.look(grant, hub) {
            Ok(named) => return named,
            Err(all) => all,
        };
        let named = named(&all, grant);
        if let Some(look) = &mut *self.held()
            && Arc::ptr_eq(&look.all, &all)
            && look.named.len() < GRANTS
        {
            look.named.push((Arc::clone(grant), named.clone()));
        }
        named
    }

    /// The cached result for this grant, or the list to compare with it.
    /// Concurrent requests wait for the same list.
    fn look(&self, grant: &Grant, hub: &Hub) -> Result<Named, Arc<[ChannelView]>> {
        let mut held = self.held();
        if let Some(look) = &*held
            && look.at.elapsed() < FRESH
        {
            let known = look.named.iter().find(|(other, _)| other.reads_as(grant));
            let named = known.map(|(_, named)| named.clone());
            return named.ok_or_else(|| Arc::clone(&look.all));
        }
        let mut all = hub.channels();
        all.sort_unstable_by(|one, other| {
            let by_readers = other.readers.cmp(&one.readers);
            by_readers.then_with(|| one.name.cmp(&other.name))
        });
        let all: Arc<[_]> = all.into();
        *held = (all.len() >= FEW).then(|| Look {
            at: Instant::now(),
            all: Arc::clone(&all),
            named: Vec::new(),
        });
        Err(all)
    }

    fn held(&self) -> MutexGuard<'_, Option<Look>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn named(all: &[ChannelView], grant: &Grant) -> Named {
    let mut readable = all.iter().filter(|view| grant.may_subscribe(&view.name));
    let first = readable.by_ref().take(NAMED).cloned().collect();
    (first, readable.count())
}

#[cfg(test)]
mod tests {
    use std::cmp::Reverse;

    use super::*;
    use crate::{auth::Patterns, event::ChannelName};

    /// `count` channels in the order of a list: later ones have more readers,
    /// and each two have the same number.
    fn views(count: usize) -> Vec<ChannelView> {
        let view = |n: usize| ChannelView {
            name: ChannelName::new(&format!("c{n:05}")).unwrap(),
            readers: n / 2,
            events: 0,
        };
        let mut views: Vec<_> = (0..count).map(view).collect();
        views.sort_by_key(|view| (Reverse(view.readers), view.name.clone()));
        views
    }

    #[test]
    fn those_with_the_most_readers_are_told_and_the_rest_is_a_number() {
        let grant = Grant::open(Patterns::all(), false);
        for (count, more) in [(10_000, 9_800), (202, 2), (200, 0), (3, 0)] {
            let (told, left_out) = named(&views(count), &grant);
            assert_eq!((told.len(), left_out), (count - more, more));
            assert_eq!(told, views(count)[..count - more]);
        }
    }

    #[test]
    fn what_one_grant_reads_is_not_told_to_another() {
        let known = KnownChannels::default();
        let grant = |pattern: &str| {
            let patterns = [pattern.parse().unwrap()].into_iter().collect();
            Arc::new(Grant::open(patterns, false))
        };
        let hub = Hub::new(
            crate::hub::Config::default(),
            crate::channel_demand::Demand::default(),
        );
        let put = |count: usize| {
            *known.held() = Some(Look {
                at: Instant::now(),
                all: views(count).into(),
                named: Vec::new(),
            });
        };
        put(300);
        let told = |pattern: &str| {
            let (views, more) = known.of(&grant(pattern), &hub);
            (views.len(), more)
        };
        for _ in 0..2 {
            assert_eq!(told("**"), (200, 100));
            assert_eq!(told("c00007"), (1, 0));
            assert_eq!(told("d"), (0, 0));
        }
        assert_eq!(known.held().as_ref().unwrap().named.len(), 3);
        for n in 0..2 * GRANTS {
            told(&format!("c{n:05}"));
        }
        assert_eq!(known.held().as_ref().unwrap().named.len(), GRANTS);
    }
}
