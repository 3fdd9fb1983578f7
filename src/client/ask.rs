//! A question that is answered by a status.

use hyper::body::Bytes;

use super::{Gateway, ended::Ended};

/// Whether the gateway's `path` (`/healthz`, `/readyz`) answers that all is
/// well.
///
/// # Errors
/// It does not, and says why; or there is no answer.
pub async fn ask(gateway: &Gateway, path: &str) -> Result<(), Ended> {
    let head = gateway.head("GET", path)?;
    gateway.send(head, Bytes::new()).await.map(drop)
}
