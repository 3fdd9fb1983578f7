//! Publishing over HTTP.

use hyper::body::Bytes;

use super::{Gateway, ended::Ended, request::encoded};
use crate::event::{ChannelName, Payload};

/// Sends a NOTIFY, and returns after the commit.
///
/// # Errors
/// The gateway refused, or the commit is uncertain.
pub async fn publish(
    gateway: &Gateway,
    channel: &ChannelName,
    payload: &Payload,
) -> Result<(), Ended> {
    let path = format!("/v1/channels/{}", encoded(channel.as_str()));
    let head = gateway.head("POST", &path)?;
    let body = Bytes::copy_from_slice(payload.as_str().as_bytes());
    gateway.send(head, body).await.map(drop)
}
