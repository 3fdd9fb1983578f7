//! A connection to a gateway.

use std::{io, time::Duration};

use tokio::time::timeout;

use super::{address::Address, ended::Ended};
use crate::outgoing::{IoStream, Tls, TlsFailure, dial as connect};

/// Time limit of the name lookup, TCP and TLS together: the same as the
/// default `connect_timeout` for PostgreSQL.
const LIMIT: Duration = Duration::from_secs(10);

/// `protocol` as TLS negotiates it: `http/1.1` or `h2`.
pub(super) async fn dial(address: &Address, protocol: &str) -> Result<Box<dyn IoStream>, Ended> {
    let dialled = async {
        let tls = address.is_tls.then(|| Tls::new(protocol)).transpose();
        let tls = tls.map_err(io::Error::other)?;
        connect(&address.host, address.port, tls.as_ref()).await
    };
    match timeout(LIMIT, dialled).await {
        Ok(Ok(carrier)) => Ok(carrier),
        Ok(Err(error)) => Err(failed(address, &error)),
        Err(_) => {
            let reason = format!("no connection within {LIMIT:?}");
            Err(Ended::unreachable(format!("{address}: {reason}")))
        }
    }
}

/// The error of a failed connection. A TLS error means that a server is there.
fn failed(address: &Address, error: &io::Error) -> Ended {
    let ended = Ended::unreachable(format!("{address}: {error}"));
    match TlsFailure::of(error) {
        Some(TlsFailure::NoTls) => {
            ended.with_remedy("what answers there speaks no TLS: --url http://…")
        }
        Some(TlsFailure::Untrusted) => ended.with_remedy(
            "the certificate must be of the host in --url, and of an authority that this machine \
             trusts, or the file named by SSL_CERT_FILE",
        ),
        None => ended,
    }
}
