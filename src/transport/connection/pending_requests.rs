//! Memory budget of waiting requests: each is counted in bytes, from its head until
//! it is answered or becomes a reader. One HTTP/2 connection can have a thousand of
//! them, and a head can be a hundred times as large in memory as compressed
//! (HPACK).

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::response::Response;
use http::{Extensions, HeaderMap, Request, StatusCode};
use tracing::warn;

use crate::transport::{
    access::{
        admission::Admission,
        limits::{Address, Quota},
    },
    protocol::codes::{Code, Refusal},
};

/// Bytes of all waiting requests of one listener. With the allocator's overhead, 1.8
/// times as much in a release, the total is less than 64 MiB.
const IN_ALL: usize = 30 << 20;

/// Part of a budget that one address may use: of `IN_ALL` enough for a thousand gRPC
/// calls in one burst.
const SHARE: usize = 3;

/// Bytes for health checks when the budget above is used up: a supervisor that gets
/// no answer would restart the gateway.
const PROBES: usize = 1 << 20;

const PROBED: [&str; 3] = ["/healthz", "/readyz", "/grpc.health.v1.Health/Check"];

/// Cost of a request in addition to its text: its stream, its task and the futures
/// of the layers.
const REQUEST: usize = 8 << 10;

/// Cost of a header field in addition to its text: a `HeaderName`, a `HeaderValue`
/// and their slots in the map.
const FIELD: usize = 104;

/// Maximum number of header fields of a request. hyper has the same limit on
/// HTTP/1.1.
const MAX_FIELDS: usize = 100;

/// The waiting requests of one listener. All clones share the budget.
#[derive(Debug, Clone)]
pub(in crate::transport) struct PendingRequests(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    admission: Admission,
    all: Budget,
    probes: Budget,
    /// Limits the rate of the log line.
    said: Quota<Address>,
}

/// A waiting request's share of the budget, counted until it is dropped or
/// released.
#[derive(Debug)]
pub(super) struct WaitingPlace(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    waiting: PendingRequests,
    address: Address,
    is_probe: bool,
    bytes: AtomicUsize,
}

/// Request extension: counts the bytes of the body.
#[derive(Debug, Clone, Default)]
pub(in crate::transport) struct Weight(Weak<Inner>);

/// Reason why a request is not admitted.
pub(super) enum NoPlace {
    TooManyFields,
    Full,
}

impl PendingRequests {
    pub(in crate::transport) fn new(admission: Admission) -> Self {
        Self(Arc::new(Shared {
            admission,
            all: Budget::of(IN_ALL),
            probes: Budget::of(PROBES),
            said: Quota::default(),
        }))
    }

    /// Admits `request`; its extensions name the peer.
    pub(super) fn enter<B>(&self, request: &mut Request<B>) -> Result<WaitingPlace, NoPlace> {
        if request.headers().len() > MAX_FIELDS {
            self.0.admission.refused(Code::InvalidRequest);
            return Err(NoPlace::TooManyFields);
        }
        let address = self
            .0
            .admission
            .address(request.extensions(), request.headers());
        let bytes = REQUEST + size(request);
        let is_probe = match self.0.all.take(address, bytes) {
            true => false,
            false if self.has_room_for_probe(request.uri().path(), address, bytes) => true,
            false => {
                self.say(address);
                self.0.admission.refused(Code::TooMany);
                return Err(NoPlace::Full);
            }
        };
        let place = WaitingPlace(Arc::new(Inner {
            waiting: self.clone(),
            address,
            is_probe,
            bytes: AtomicUsize::new(bytes),
        }));
        request.extensions_mut().insert(place.weight());
        Ok(place)
    }

    fn has_room_for_probe(&self, path: &str, address: Address, bytes: usize) -> bool {
        PROBED.contains(&path) && self.0.probes.take(address, bytes)
    }

    fn say(&self, address: Address) {
        if self.0.said.is_news() {
            warn!(%address, "requests that are not answered yet hold all the memory they may");
        }
    }
}

fn size<B>(request: &Request<B>) -> usize {
    let uri = request.uri();
    let uri = uri.path().len() + uri.query().map_or(0, str::len);
    let fields = request.headers().iter();
    uri + fields
        .map(|(name, value)| FIELD + name.as_str().len() + value.len())
        .sum::<usize>()
}

impl WaitingPlace {
    fn weight(&self) -> Weight {
        Weight(Arc::downgrade(&self.0))
    }
}

impl Weight {
    pub(in crate::transport) fn of(extensions: &Extensions) -> Self {
        extensions.get().cloned().unwrap_or_default()
    }

    /// Counts `bytes` more for the request. Does nothing if it has been answered.
    pub(in crate::transport) fn grow(&self, bytes: usize) -> Result<(), Refusal> {
        let Some(inner) = self.0.upgrade() else {
            return Ok(());
        };
        if !inner.budget().take(inner.address, bytes) {
            inner.waiting.say(inner.address);
            return Err(full());
        }
        inner.bytes.fetch_add(bytes, Ordering::Relaxed);
        Ok(())
    }

    /// Frees the budget of a request that is counted as a reader now, though not
    /// answered yet.
    pub(in crate::transport) fn release(&self) {
        if let Some(inner) = self.0.upgrade() {
            inner.release();
        }
    }
}

impl Inner {
    fn budget(&self) -> &Budget {
        match self.is_probe {
            true => &self.waiting.0.probes,
            false => &self.waiting.0.all,
        }
    }

    fn release(&self) {
        let bytes = self.bytes.swap(0, Ordering::Relaxed);
        self.budget().give(self.address, bytes);
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.release();
    }
}

impl NoPlace {
    pub(super) fn response(&self, headers: &HeaderMap) -> Response {
        match self {
            Self::TooManyFields => {
                let rule = format!("a request has at most {MAX_FIELDS} header fields");
                let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
                Refusal::invalid(rule).with_status(status)
            }
            Self::Full => full().answer_to(headers),
        }
    }
}

fn full() -> Refusal {
    let rule = "requests of this address that are not answered yet hold all the memory they may";
    Refusal::new(Code::TooMany, rule)
}

/// A limit in bytes, in total and for each address.
#[derive(Debug)]
struct Budget {
    most: usize,
    held: Mutex<Held>,
}

/// Bytes by address, for addresses that hold any. A request is at least 8 KiB, so
/// there are at most some thousands of addresses.
#[derive(Debug, Default)]
struct Held {
    in_all: usize,
    addresses: HashMap<Address, usize>,
}

impl Budget {
    fn of(most: usize) -> Self {
        Self {
            most,
            held: Mutex::default(),
        }
    }

    /// Whether there was room.
    fn take(&self, address: Address, bytes: usize) -> bool {
        let mut held = self.held();
        let of_address = held.addresses.get(&address).copied().unwrap_or(0) + bytes;
        if of_address > self.most / SHARE || held.in_all + bytes > self.most {
            return false;
        }
        held.in_all += bytes;
        held.addresses.insert(address, of_address);
        true
    }

    fn give(&self, address: Address, bytes: usize) {
        let mut held = self.held();
        held.in_all -= bytes;
        if let Some(of_address) = held.addresses.get_mut(&address) {
            *of_address -= bytes;
            if *of_address == 0 {
                held.addresses.remove(&address);
            }
        }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    #[test]
    fn one_address_has_a_share_and_who_leaves_makes_room() {
        let budget = Budget::of(60);
        let address = |last: u8| Address::from(IpAddr::from([192, 0, 2, last]));
        assert!(budget.take(address(1), 15) && budget.take(address(1), 5));
        assert!(!budget.take(address(1), 1), "it has its share");
        for last in 2..4 {
            assert!(budget.take(address(last), 20));
        }
        assert!(!budget.take(address(5), 1), "all is taken");
        budget.give(address(1), 5);
        assert!(budget.take(address(5), 5) && !budget.take(address(1), 1));
        for (last, bytes) in [(1, 15), (2, 20), (3, 20), (5, 5)] {
            budget.give(address(last), bytes);
        }
        let held = budget.held();
        assert!(held.in_all == 0 && held.addresses.is_empty());
    }
}
