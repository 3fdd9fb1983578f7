//! Health checks: requests that are answered by a status.

use hyper::body::Bytes;

use super::{Gateway, ended::Ended};

/// Requests the gateway's `path` (`/healthz`, `/readyz`); a success status means
/// that all is well.
///
/// # Errors
/// The gateway reports a problem, or sends no answer.
pub async fn ask(gateway: &Gateway, path: &str) -> Result<(), Ended> {
    let head = gateway.head("GET", path)?;
    gateway.send(head, Bytes::new()).await.map(drop)
}
