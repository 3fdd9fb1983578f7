//! What every WebSocket has in common: its beginning and its limits.

use axum::{
    extract::{WebSocketUpgrade, ws::rejection::WebSocketUpgradeRejection},
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};

use super::{admission::Admission, codes::Refusal};

/// A read buffer that holds what clients usually say: the library's own
/// default costs 128 KiB for each connection.
const READ_BUFFER: usize = 1024;

/// Deliveries that are there together leave in one write, up to this size.
const WRITE_BUFFER: usize = 16 << 10;

/// More than a batch of the largest events, in JSON.
const MAX_WRITE_BUFFER: usize = 8 << 20;

/// Deliveries written in one turn of a connection: between two turns it
/// listens to its client, however busy it is.
pub(super) const WRITES: usize = 64;

/// As axum extracts it.
pub(super) type Upgrade = Result<WebSocketUpgrade, WebSocketUpgradeRejection>;

/// The limits of every WebSocket; what is no upgrade, or one of another
/// version, is told what would be (RFC 6455, section 4.4).
pub(super) fn configure(
    upgrade: Upgrade,
    admission: &Admission,
) -> Result<WebSocketUpgrade, Box<Response>> {
    let upgrade = upgrade.map_err(|rejection| {
        let mut response = Refusal::invalid(rejection.body_text()).into_response();
        let version = HeaderValue::from_static("13");
        response
            .headers_mut()
            .insert(header::SEC_WEBSOCKET_VERSION, version);
        Box::new(response)
    })?;
    let max = admission.settings().max_client_frame;
    Ok(upgrade
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(WRITE_BUFFER)
        .max_write_buffer_size(MAX_WRITE_BUFFER)
        .max_message_size(max)
        .max_frame_size(max))
}
