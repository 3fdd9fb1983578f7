//! Places for those who are no readers, nor have shown a token: so many in all,
//! and of each address.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{Address, Permit, Quota};

/// See the module.
#[derive(Debug)]
pub(in crate::transport) struct Pool {
    in_all: Arc<Semaphore>,
    addresses: Arc<Quota<Address>>,
    of_address: usize,
}

/// One of them, as long as this is held.
#[derive(Debug)]
pub(in crate::transport) struct PoolPermit {
    _in_all: OwnedSemaphorePermit,
    _of_address: Permit<Address>,
}

impl Pool {
    /// A quarter of all for one address. Behind a proxy that is not known as
    /// one, so many can still come at once.
    pub(in crate::transport) fn of(in_all: usize) -> Self {
        Self {
            in_all: Arc::new(Semaphore::new(in_all)),
            addresses: Arc::default(),
            of_address: in_all / 4,
        }
    }

    /// A place for one more of this address, where there is one.
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
