use std::net::{IpAddr, SocketAddr};

use pgfan::proto::SubscribeRequest;
use serde_json::json;

use crate::{
    besieged::Besieged,
    guests::{connect, loopback},
    support::{Said, WebSocket, get, grpc_client},
    tap::Tap,
};

/// Default limit of channels of a reader.
const OF_A_READER: usize = 128;

/// Limit of channels of the gateway, as it is set here.
const IN_ALL: usize = 1000;

/// Channels that are listened to, counted by the LISTEN and UNLISTEN
/// statements.
fn listened(tap: &Tap) -> usize {
    let seen = tap.seen();
    seen.statements("LISTEN ") - seen.statements("UNLISTEN ")
}

pub async fn join(socket: &mut WebSocket, names: &[String]) -> Result<(), String> {
    let say = json!({"type": "subscribe", "channels": names});
    socket.say(&say.to_string()).await;
    match socket.said().await {
        Said::Ready { channels, .. } => {
            assert_eq!(channels, names);
            Ok(())
        }
        Said::Answer(error) => Err(error["code"].as_str().unwrap().to_owned()),
        other => panic!("{other:?}"),
    }
}

pub fn names(first: usize, count: usize) -> Vec<String> {
    (first..first + count)
        .map(|n| format!("flood.{n}"))
        .collect()
}

/// A hundred thousand are requested in batches of any size, and 128 are accepted.
#[tokio::test(flavor = "multi_thread")]
async fn a10_one_client_has_as_many_channels_as_it_may() {
    // The rate of messages is not what is tested here.
    let flags = ["--max-channels", "1000", "--max-frame-rate", "100000"];
    let (mut besieged, tap) = Besieged::tapped(&flags).await;
    let address = besieged.address();
    let too_many = || Err("too_many".to_owned());
    let mut socket = WebSocket::open(address, "/v1/ws").await.unwrap();
    for first in (0..100_000).step_by(1000) {
        assert_eq!(join(&mut socket, &names(first, 1000)).await, too_many());
    }
    assert_eq!(join(&mut socket, &names(0, OF_A_READER)).await, Ok(()));
    for n in 0..1000 {
        assert_eq!(join(&mut socket, &names(5000 + n, 1)).await, too_many());
    }
    besieged.others_are_served().await;

    let mut client = grpc_client(address).await;
    let request = SubscribeRequest {
        // As many as fit into one message.
        channels: names(0, 5000),
        cursor: String::new(),
        heartbeat: false,
    };
    let status = client.subscribe(request).await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::ResourceExhausted, "{status}");
    let query = names(0, OF_A_READER + 1).join("&channel=");
    let path = format!("/v1/sse?channel={query}");
    let answer = get(address, &path, &[]).await;
    assert_eq!((answer.status, answer.code()), (429, "too_many".into()));
    let path = format!("/v1/ws?channel={query}");
    assert_eq!(WebSocket::open(address, &path).await.err(), Some(429));

    besieged.others_are_served().await;
    // The channels of the heartbeat, of the others and of the flood.
    assert_eq!(listened(&tap), 2 + OF_A_READER);
}

/// Many clients together, and one that joins and leaves, get 1000.
#[tokio::test(flavor = "multi_thread")]
async fn a10_all_clients_have_as_many_channels_as_there_may_be() {
    let (mut besieged, tap) = Besieged::tapped(&["--max-channels", "1000"]).await;
    let address = besieged.address();
    takes_and_gives_back(address, &tap).await;
    besieged.others_are_served().await;

    let mut sockets = Vec::new();
    let mut joined = 0;
    for n in 0..20 {
        let mut socket = open_from(loopback(2 + n as u8), address).await;
        let names = names(100_000 + n * OF_A_READER, OF_A_READER);
        joined += usize::from(join(&mut socket, &names).await.is_ok());
        sockets.push(socket);
        assert!(listened(&tap) <= IN_ALL + 1, "{}", listened(&tap));
    }
    assert_eq!(joined, (IN_ALL - 1) / OF_A_READER);
    besieged.others_are_served().await;
    // Clients that leave make room.
    drop(sockets);
    let mut socket = open_from(loopback(30), address).await;
    let fresh = names(200_000, OF_A_READER);
    crate::support::until("there is room again", || async {
        let mut another = open_from(loopback(31), address).await;
        join(&mut another, &names(300_000, 1)).await.is_ok()
    })
    .await;
    assert_eq!(join(&mut socket, &fresh).await, Ok(()));
    besieged.others_are_served().await;
}

/// Opens a WebSocket from this address.
pub async fn open_from(from: IpAddr, to: SocketAddr) -> WebSocket {
    let socket = connect(from, to).await;
    WebSocket::over(socket, "/v1/ws").await.unwrap()
}

/// Subscribes to more channels than the limit, in turn, each by another client:
/// idle ones are given up.
async fn takes_and_gives_back(address: SocketAddr, tap: &Tap) {
    for n in 0..20 {
        let mut socket = open_from(loopback(40 + n as u8), address).await;
        let names = names(n * OF_A_READER, OF_A_READER);
        assert_eq!(join(&mut socket, &names).await, Ok(()));
        let say = json!({"type": "unsubscribe", "channels": names});
        socket.say(&say.to_string()).await;
        assert!(matches!(socket.said().await, Said::Answer(_)));
        assert!(listened(tap) <= IN_ALL + 1, "{}", listened(tap));
    }
}
