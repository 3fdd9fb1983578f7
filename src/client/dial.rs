//! A connection to a gateway.

use std::{io, time::Duration};

use tokio::time::timeout;

use super::{address::Address, ended::Ended};
use crate::dial::{Carrier, Tls, dial as connect};

/// Name, TCP and TLS together: as long as PostgreSQL's clients are given here.
const LIMIT: Duration = Duration::from_secs(10);

/// `protocol` as TLS negotiates it: `http/1.1` or `h2`.
pub(super) async fn dial(address: &Address, protocol: &str) -> Result<Box<dyn Carrier>, Ended> {
    let dialled = async {
        let tls = address.is_tls.then(|| Tls::new(protocol)).transpose();
        let tls = tls.map_err(io::Error::other)?;
        connect(&address.host, address.port, tls.as_ref()).await
    };
    let reason = match timeout(LIMIT, dialled).await {
        Ok(Ok(carrier)) => return Ok(carrier),
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("no connection within {LIMIT:?}"),
    };
    Err(Ended::unreachable(format!("{address}: {reason}")))
}
