use std::net::{IpAddr, SocketAddr};

use serde_json::json;
use tokio::{io::AsyncReadExt, net::TcpStream};

use crate::{
    besieged::Besieged,
    guests::{Guest, Kind, TooMany, connect, enter, loopback},
    support::{Said, WebSocket, get, until, within},
    tokens::{SECRET, now, with_claims},
};

/// Readers that one address may have; the besieged gateway has as many itself.
const PLACES: usize = 4;

async fn let_in(kind: Kind, from: IpAddr, to: SocketAddr, headers: &[(&str, &str)]) -> Guest {
    let entered = enter(kind, from, to, headers).await;
    entered.unwrap_or_else(|refused| panic!("{kind:?} from {from}: {refused:?}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a11_one_address_has_as_many_readers_as_it_may_on_every_wire() {
    let mut besieged = Besieged::with(&["--max-readers-per-address", "4"]).await;
    let address = besieged.address();
    let (flooder, other) = (loopback(2), loopback(3));
    for kind in Kind::ALL {
        let mut guests = within("all places", all_places(kind, flooder, address)).await;
        for another in Kind::ALL {
            let refused = enter(another, flooder, address, &[]).await.err();
            assert_eq!(refused, Some(TooMany), "{another:?} beside {kind:?}");
        }
        drop(let_in(kind, other, address, &[]).await);
        besieged.others_are_served().await;
        drop(guests.pop());
        until("there is room again", || async {
            enter(kind, flooder, address, &[]).await.is_ok()
        })
        .await;
    }
    within("all places", all_places(Kind::Sse, flooder, address)).await;
    let said = "an address has all readers it may";
    let line = besieged.gateway.logged(said).await;
    assert!(line.contains("address=127.0.0.2 limit=4"), "{line}");
    let log = besieged.gateway.program.stderr.text();
    assert_eq!(log.matches(said).count(), 1, "once a minute: {log}");
    besieged.gateway.stop().await;
}

/// Holds all places at the same time: a previous reader that is still closing
/// has one of them for a moment, and then all are tried again.
async fn all_places(kind: Kind, from: IpAddr, to: SocketAddr) -> Vec<Guest> {
    let mut guests = Vec::new();
    while guests.len() < PLACES {
        match enter(kind, from, to, &[]).await {
            Ok(guest) => guests.push(guest),
            Err(TooMany) => guests.clear(),
        }
    }
    guests
}

/// Whether the connection is held, and not closed at once.
async fn is_held(from: IpAddr, to: SocketAddr) -> Option<TcpStream> {
    let socket = connect(from, to).await;
    let mut byte = [0];
    tokio::time::timeout(std::time::Duration::from_millis(20), socket.peek(&mut byte))
        .await
        .is_err()
        .then_some(socket)
}

/// A thousand connections, of which 64 may stay; the others get an error if
/// they send a request.
#[tokio::test(flavor = "multi_thread")]
async fn a11_connections_that_are_no_readers_are_bounded_too() {
    let mut besieged = Besieged::with(&["--max-readers-per-address", "4"]).await;
    let address = besieged.address();
    let before = besieged.gateway.open_files();
    let mut sockets = Vec::new();
    for _ in 0..1000 {
        sockets.push(connect(loopback(2), address).await);
    }
    until("those beyond the limit are gone", || async {
        besieged.gateway.open_files() <= before + 64
    })
    .await;
    let mut told = connect(loopback(2), address).await;
    let answer = async {
        use tokio::io::AsyncWriteExt;
        let request = b"GET /v1/sse?channel=a HTTP/1.1\r\nHost: localhost\r\n\r\n";
        told.write_all(request).await.unwrap();
        let mut answer = String::new();
        told.read_to_string(&mut answer).await.unwrap();
        answer
    };
    let answer = within("an answer", answer).await;
    assert!(answer.starts_with("HTTP/1.1 429"), "{answer}");
    assert!(answer.contains("this address has as many connections"));
    drop(let_in(Kind::Sse, loopback(3), address, &[]).await);
    assert_eq!(get(address, "/readyz", &[]).await.status, 200);
    besieged.others_are_served().await;
    drop(sockets);
    until("there is room again", || async {
        is_held(loopback(2), address).await.is_some()
    })
    .await;
    drop(let_in(Kind::Sse, loopback(2), address, &[]).await);
    besieged.gateway.stop().await;
}

fn token(subject: &str, number: i64) -> String {
    let channels = json!({"subscribe": ["guests"]});
    let claims = json!({"sub": subject, "exp": now() + 3600 + number, "pgfan": channels});
    with_claims(&claims)
}

/// With any token of the same subject, and from any address.
#[tokio::test(flavor = "multi_thread")]
async fn a11_one_token_has_as_many_readers_as_it_may_on_every_wire() {
    let flags = [
        "--max-readers-per-token",
        "2",
        "--anonymous",
        "--token-secret",
        SECRET,
    ];
    let mut besieged = Besieged::with(&flags).await;
    let address = besieged.address();
    for kind in Kind::ALL {
        let (bearer, bob) = (
            |number| format!("Bearer {}", token(&format!("ann {kind:?}"), number)),
            format!("Bearer {}", token("bob", 0)),
        );
        let first = let_in(kind, loopback(2), address, &[("authorization", &bearer(1))]).await;
        let _second = let_in(kind, loopback(3), address, &[("authorization", &bearer(2))]).await;
        for another in Kind::ALL {
            let headers = [("authorization", &*bearer(3))];
            let refused = enter(another, loopback(4), address, &headers).await.err();
            assert_eq!(refused, Some(TooMany), "{another:?} beside {kind:?}");
        }
        drop(let_in(kind, loopback(2), address, &[("authorization", &bob)]).await);
        besieged.others_are_served().await;
        drop(first);
        until("there is room again", || async {
            let headers = [("authorization", &*bearer(4))];
            enter(kind, loopback(4), address, &headers).await.is_ok()
        })
        .await;
    }
    besieged.gateway.stop().await;
}

/// A token that is presented later counts like the first.
#[tokio::test(flavor = "multi_thread")]
async fn a11_another_token_is_no_way_around() {
    let flags = [
        "--max-readers-per-token",
        "1",
        "--anonymous",
        "--token-secret",
        SECRET,
    ];
    let mut besieged = Besieged::with(&flags).await;
    let address = besieged.address();
    let reader = async |subject: &str| {
        let bearer = format!("Bearer {}", token(subject, 0));
        let headers = [("authorization", bearer.as_str())];
        let opened = WebSocket::with_headers(address, "/v1/ws?channel=guests", &headers).await;
        let (mut socket, _) = opened?;
        assert!(matches!(socket.said().await, Said::Ready { .. }));
        Ok::<_, u16>(socket)
    };
    let hand_in = async |socket: &mut WebSocket, subject: &str, number| {
        let frame = json!({"type": "auth", "token": token(subject, number)});
        socket.say(&frame.to_string()).await;
        match socket.said().await {
            Said::Answer(answer) => answer,
            other => panic!("{other:?}"),
        }
    };
    let mut ann = reader("ann").await.unwrap();
    let bob = reader("bob").await.unwrap();
    assert_eq!(hand_in(&mut ann, "bob", 1).await["code"], "too_many");
    besieged.database.notify("guests", "still").await;
    assert!(matches!(ann.said().await, Said::Event { .. }));
    assert_eq!(hand_in(&mut ann, "ann", 1).await["type"], "authenticated");
    assert_eq!(reader("ann").await.err(), Some(429));
    drop(bob);
    let changed = async { while hand_in(&mut ann, "bob", 2).await["type"] != "authenticated" {} };
    within("bob has left", changed).await;
    // The place under the old token is free, the one under the new token is
    // taken.
    assert_eq!(reader("bob").await.err(), Some(429));
    reader("ann").await.unwrap();
    besieged.others_are_served().await;
    besieged.gateway.stop().await;
}
