//! The wire of PGCacheWatch's event distributor, as of 0.4.2:
//! `GET /pgpubsub/{channel}` and `GET /up`.

use axum::{extract::State, response::Response};
use http::Uri;

use super::{
    admission::Admission,
    codes::Refusal,
    query::last_segment,
    raw::{self, ClientFrames},
    upgrade::{Upgrade, configure},
};

/// The 101 is sent when LISTEN has committed: it is the only acknowledgement
/// that its client can see.
pub(super) async fn pgpubsub(
    State(admission): State<Admission>,
    uri: Uri,
    upgrade: Upgrade,
) -> Result<Response, Refusal> {
    let upgrade = match configure(upgrade, &admission) {
        Ok(upgrade) => upgrade,
        Err(response) => return Ok(*response),
    };
    let channel = last_segment(uri.path())?;
    let subscription = admission.subscribe(&[channel], None)?;
    raw::upgrade(upgrade, subscription, &admission, ClientFrames::Ignored).await
}

/// Whether the process answers.
pub(super) async fn up() {}
