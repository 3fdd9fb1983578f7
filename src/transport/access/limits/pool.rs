//! Permits for clients that are not readers and have shown no token, limited in
//! total and for each address.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{Address, Permit, Quota};

/// Pool of permits with a total limit and a limit for each address.
#[derive(Debug)]
pub(in crate::transport) struct Pool {
    in_all: Arc<Semaphore>,
    addresses: Arc<Quota<Address>>,
    of_address: usize,
}

/// Permit of a [`Pool`], held until dropped.
#[derive(Debug)]
pub(in crate::transport) struct PoolPermit {
    _in_all: OwnedSemaphorePermit,
    _of_address: Permit<Address>,
}

impl Pool {
    /// One address has a quarter of the total. All clients behind a proxy that
    /// is not configured as trusted share one quarter.
    pub(in crate::transport) fn of(in_all: usize) -> Self {
        Self {
            in_all: Arc::new(Semaphore::new(in_all)),
            addresses: Arc::default(),
            of_address: in_all / 4,
        }
    }

    /// A permit for this address, if there is one.
    pub(in crate::transport) fn enter(&self, address: Address) -> Option<PoolPermit> {
        let of_address = self.addresses.enter(address, self.of_address)?;
        let in_all = Arc::clone(&self.in_all).try_acquire_owned();
        Some(PoolPermit {
            _in_all: in_all.ok()?,
            _of_address: of_address,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    #[test]
    fn one_address_has_a_quarter_and_who_leaves_makes_room() {
        let pool = Pool::of(8);
        let enter = |last: u8| pool.enter(IpAddr::from([192, 0, 2, last]).into());
        let mut held: Vec<_> = [1, 1, 2, 2, 3, 3, 4, 4]
            .map(|last| enter(last).unwrap())
            .into();
        assert!(enter(5).is_none(), "all are taken");
        held.truncate(6);
        assert!(enter(1).is_none(), "it has its quarter");
        held.push(enter(5).unwrap());
        drop(held);
        assert!(enter(1).is_some() && enter(5).is_some());
    }
}
