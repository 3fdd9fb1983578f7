//! The API of PGCacheWatch's event distributor, as of 0.4.2:
//! `GET /pgpubsub/{channel}` and `GET /up`.

use axum::{
    extract::{Request, State},
    response::Response,
};

use super::{
    raw::{self, ClientFrames},
    upgrade::Upgrade,
};
use crate::{
    event::WireName,
    transport::{
        access::admission::Admission,
        protocol::{codes::Refusal, query::last_segment},
    },
};

/// The 101 is sent when LISTEN has committed: it is the only acknowledgement that
/// the client can see.
pub(in crate::transport) async fn pgpubsub(
    State(admission): State<Admission>,
    request: Request,
) -> Result<Response, Refusal> {
    let upgrade = match Upgrade::of(&request, &admission) {
        Ok(upgrade) => upgrade,
        Err(response) => return Ok(*response),
    };
    let channel = last_segment(request.uri().path())?;
    let credentials = admission.credentials(request.headers());
    let address = admission.address(request.extensions(), request.headers());
    drop(request);
    let grant = admission.admit(credentials, address).await?;
    let (wire, channels) = (WireName::PgCacheWatch, [channel]);
    let subscription = admission.subscribe(wire, &grant, address, &channels, None)?;
    let frames = ClientFrames::Ignored;
    raw::upgrade(upgrade, subscription, &grant, &admission, frames).await
}

/// Liveness check.
pub(in crate::transport) async fn up() {}
