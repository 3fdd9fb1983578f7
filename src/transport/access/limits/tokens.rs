//! Rate limit of failed signatures by client address. Above it, tokens of the address are
//! not verified. Other faults of a token are found before its signature is verified, at
//! the cost of any bad request, and are not counted.

use tracing::warn;

use super::{
    Address, LogThrottle,
    rates::{Rate, Rates},
};
use crate::auth::Attempts;

/// Failures a second: 3 % of a core for the most expensive algorithm (ES384, 1.4 ms).
/// Well-behaved clients cause none, or a few after a change of keys.
const FORGED: usize = 20;

/// The failures of all addresses.
#[derive(Debug, Default)]
pub(super) struct Forged {
    rates: Rates<Address>,
    news: LogThrottle,
}

/// The failures of one address.
#[derive(Debug)]
pub(in crate::transport) struct TokensOf<'a> {
    forged: &'a Forged,
    address: Address,
}

impl Forged {
    pub(super) fn of(&self, address: Address) -> TokensOf<'_> {
        TokensOf {
            forged: self,
            address,
        }
    }
}

impl Attempts for TokensOf<'_> {
    fn may_try(&self) -> bool {
        let Self { forged, address } = self;
        let may_try = forged.rates.has(*address, Rate::a_second(FORGED));
        if !may_try && forged.news.is_news() {
            warn!(
                %address,
                limit = FORGED,
                "an address sends forged tokens: above the limit a second, its tokens are not verified"
            );
        }
        may_try
    }

    /// If no further address can be counted, its tokens are verified: `Turns` bounds the
    /// total cost.
    fn failed(&self) {
        let _ = self.forged.rates.take(self.address, Rate::a_second(FORGED));
    }
}

#[cfg(test)]
mod tests {
    use std::{net::IpAddr, time::Duration};

    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_address_has_some_a_second_and_another_its_own() {
        let forged = Forged::default();
        let of = |last: u8| forged.of(IpAddr::from([192, 0, 2, last]).into());
        for _ in 0..FORGED {
            assert!(of(1).may_try());
            of(1).failed();
        }
        assert!(!of(1).may_try() && of(2).may_try());
        // A failure above the limit does not extend the time.
        of(1).failed();
        advance(Duration::from_millis(51)).await;
        assert!(of(1).may_try());
        of(1).failed();
        assert!(!of(1).may_try());
    }
}
