//! Authentication by the first frame, `{"type":"auth","token":"…"}`, of a WebSocket
//! without a token. A browser page can set no header but the list of protocols, and
//! the token need not be put there.

use std::{future::poll_fn, sync::Arc, time::Duration};

use tokio::{select, time::timeout};
use tungstenite::Message;

use super::socket::WebSocket;
use crate::{
    auth::Grant,
    transport::{
        access::{admission::Admission, credentials::Credentials, limits::Address},
        delivery::end::End,
        protocol::{
            codes::{Code, Refusal},
            json::{ClientMessage, ServerMessage},
        },
    },
};

/// Time limit of the first frame, whatever `--request-timeout` is: an unauthenticated
/// client holds a socket no longer.
const TIME_LIMIT: Duration = Duration::from_secs(10);

/// Waits for the token, and confirms it to the client.
pub(super) async fn admit(
    socket: &mut WebSocket,
    admission: &Admission,
    address: Address,
) -> Result<Arc<Grant>, End> {
    let token = select! {
        token = timeout(TIME_LIMIT, token(socket)) => token,
        end = admission.closed() => return Err(End::Refused(end.into())),
    };
    let token = token.map_err(|_| refused("no token within 10 s"))??;
    let grant = admission.admit(Credentials::Token(token), address).await;
    let grant = grant.map_err(|error| End::Refused(error.into()))?;
    let text = ServerMessage::authenticated(&grant).encode();
    socket.send(Message::Text(text.into())).await?;
    Ok(grant)
}

async fn token(socket: &mut WebSocket) -> Result<String, End> {
    loop {
        match poll_fn(|cx| socket.poll_read(cx)).await {
            Some(Ok(Message::Text(text))) => match serde_json::from_str(&text) {
                Ok(ClientMessage::Auth { token }) => return Ok(token),
                // The content is not repeated in the error.
                _ => return Err(refused("a token is required, in the first frame")),
            },
            Some(Ok(Message::Ping(_))) => socket.flush().await?,
            Some(Ok(Message::Pong(_) | Message::Frame(_))) => {}
            Some(Ok(Message::Binary(_))) => {
                return Err(refused("a token is required, in the first frame"));
            }
            Some(Ok(Message::Close(_))) | None => return Err(End::ByClient),
            Some(Err(end)) => return Err(end),
        }
    }
}

fn refused(rule: &str) -> End {
    End::Refused(Refusal::new(Code::Unauthenticated, rule))
}
