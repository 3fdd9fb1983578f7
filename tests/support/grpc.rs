//! A gRPC client on tonic.

use std::{future::ready, io, net::SocketAddr};

use http::Uri;
use hyper_util::rt::TokioIo;
use pgfan::proto::{
    SubscribeRequest, SubscribeResponse, gateway_service_client::GatewayServiceClient,
    subscribe_response::Message,
};
use tokio::sync::mpsc;
use tonic::transport::{Channel, Endpoint, Error};

use super::{
    Connection, Said,
    reader::{refused, send},
};

pub async fn grpc_client(address: SocketAddr) -> GatewayServiceClient<Channel> {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
    GatewayServiceClient::new(endpoint.connect().await.unwrap())
}

/// Client on this connection; it makes no other.
pub async fn grpc_over(socket: impl Connection) -> Result<GatewayServiceClient<Channel>, Error> {
    let mut socket = Some(TokioIo::new(socket));
    let connector = tower::service_fn(move |_: Uri| {
        let taken = socket.take();
        ready(taken.ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected)))
    });
    let endpoint = Endpoint::from_static("http://localhost");
    let channel = endpoint.connect_with_connector(connector).await?;
    Ok(GatewayServiceClient::new(channel))
}

pub fn subscribe_request(channels: &[&str], cursor: Option<&str>) -> SubscribeRequest {
    SubscribeRequest {
        channels: channels.iter().map(|name| name.to_string()).collect(),
        cursor: cursor.unwrap_or_default().to_owned(),
        heartbeat: false,
    }
}

pub(super) async fn grpc(
    client: Result<GatewayServiceClient<Channel>, Error>,
    request: SubscribeRequest,
    sender: mpsc::Sender<Said>,
) {
    let Ok(mut client) = client else {
        return refused(0, &sender).await;
    };
    let mut stream = match client.subscribe(request).await {
        Ok(response) => response.into_inner(),
        Err(status) => {
            send(&sender, status_of(&status)).await;
            return;
        }
    };
    loop {
        let said = match stream.message().await {
            Ok(Some(response)) => from_proto(response),
            Ok(None) => Said::Closed(0, String::new()),
            Err(status) => status_of(&status),
        };
        if send(&sender, said).await {
            return;
        }
    }
}

fn status_of(status: &tonic::Status) -> Said {
    Said::Closed(status.code() as i32, status.message().to_owned())
}

pub fn from_proto(response: SubscribeResponse) -> Said {
    match response.message.expect("every response has a message") {
        Message::Ready(ready) => Said::Ready {
            channels: ready.channels,
            cursor: ready.cursor,
        },
        Message::Event(event) => {
            assert_eq!(event.received_at.expect("a time").nanos % 1000, 0);
            Said::Event {
                id: event.id,
                channel: event.channel,
                payload: event.payload,
            }
        }
        Message::Gap(gap) => {
            let name = gap.reason().as_str_name();
            let reason = name.strip_prefix("GAP_REASON_").unwrap().to_lowercase();
            Said::Gap { id: gap.id, reason }
        }
        Message::Interrupted(interrupted) => {
            assert!(interrupted.since.is_some());
            Said::Interrupted
        }
        Message::Heartbeat(_) => unreachable!("nobody asked for it"),
        Message::Live(live) => Said::Live {
            cursor: live.cursor,
        },
    }
}
