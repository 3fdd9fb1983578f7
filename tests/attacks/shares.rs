use std::net::{IpAddr, SocketAddr};

use futures_util::future::join_all;
use pgfan::proto::PublishRequest;
use serde_json::json;
use tokio::{sync::mpsc, time::Instant};
use tonic::{Code, Request};

use crate::{
    besieged::Besieged,
    guests::{Guest, Kind, TooMany, connect, enter_on, loopback},
    publishing::{CHANNEL, WIRES, publish},
    subscriptions::{join, names, open_from},
    support::{Database, Link, Reader, Said, WebSocket, Wire, get, grpc_over, until, within},
    tokens::{SECRET, now, with_claims},
};

const TOKENS: [&str; 3] = ["--anonymous", "--token-secret", SECRET];

/// A token of this subject that may read and publish everything.
fn bearer(subject: &str) -> String {
    let all = json!({"subscribe": ["**"], "publish": ["**"]});
    let claims = json!({"sub": subject, "exp": now() + 3600, "pgfan": all});
    format!("Bearer {}", with_claims(&claims))
}

async fn socket(address: SocketAddr, bearer: &str) -> WebSocket {
    let headers = [("authorization", bearer)];
    let opened = WebSocket::with_headers(address, "/v1/ws", &headers).await;
    opened.unwrap().0
}

async fn part(socket: &mut WebSocket, names: &[String]) {
    let say = json!({"type": "unsubscribe", "channels": names});
    socket.say(&say.to_string()).await;
    assert!(matches!(socket.said().await, Said::Answer(_)));
}

/// With default settings, 79 connections of one token took all 10,000.
#[tokio::test(flavor = "multi_thread")]
async fn a36_one_token_leaves_half_of_the_channels_to_the_others() {
    let mut besieged = Besieged::with(&TOKENS).await;
    let (address, ann, bob) = (besieged.address(), bearer("ann"), bearer("bob"));
    let mut sockets = Vec::new();
    for n in 0..79 {
        let mut socket = socket(address, &ann).await;
        let joined = join(&mut socket, &names(n * 128, 128)).await;
        let expected = if n < 39 {
            Ok(())
        } else {
            Err("too_many".into())
        };
        assert_eq!(joined, expected, "{n}");
        sockets.push(socket);
    }
    // Joining existing channels is free, and other clients are not affected.
    assert_eq!(join(&mut sockets[70], &names(0, 128)).await, Ok(()));
    let mut another = socket(address, &bob).await;
    assert_eq!(join(&mut another, &names(20_000, 128)).await, Ok(()));
    besieged.others_are_served().await;
    let line = besieged
        .gateway
        .logged("reached --max-channels-per-client")
        .await;
    assert!(line.contains("client=sub:"), "{line}");
    assert!(line.contains("limit=5000"), "{line}");
    drop(sockets);
    besieged.gateway.stop().await;
}

/// As many as the limit, each on a channel of its own and from another address.
async fn all_places(kind: Kind, to: SocketAddr, headers: &[(&str, &str)]) -> Vec<Guest> {
    let mut guests = Vec::new();
    for n in 0..3 {
        let (channel, from) = (format!("{kind:?}.{n}"), loopback(2 + n));
        let entered = enter_on(kind, &channel, from, to, headers).await;
        guests.push(entered.unwrap_or_else(|TooMany| panic!("{channel}")));
    }
    guests
}

/// From any address, on any transport.
#[tokio::test(flavor = "multi_thread")]
async fn a36_one_client_has_its_share_of_the_channels_on_every_wire() {
    let share = ["--max-channels", "9", "--max-channels-per-client", "3"];
    let mut besieged = Besieged::with(&[&TOKENS[..], &share].concat()).await;
    let address = besieged.address();
    for kind in Kind::ALL {
        let (ann, bob) = (bearer(&format!("ann {kind:?}")), bearer("bob"));
        let headers = [("authorization", ann.as_str())];
        let mut guests = all_places(kind, address, &headers).await;
        for another in Kind::ALL {
            let more = format!("{kind:?}.more");
            let refused = enter_on(another, &more, loopback(9), address, &headers).await;
            assert_eq!(refused.err(), Some(TooMany), "{another:?} beside {kind:?}");
            // A channel of another client, and its own.
            for known in ["others", &format!("{kind:?}.0")] {
                let free = enter_on(another, known, loopback(9), address, &headers).await;
                assert!(free.is_ok(), "{another:?} of {known} beside {kind:?}");
            }
        }
        let path = format!("/v1/sse?channel={kind:?}.more");
        let answer = get(address, &path, &headers).await;
        let told = String::from_utf8(answer.body.to_vec()).unwrap();
        assert!(told.contains("owns 3 channels"), "{told}");
        assert!(told.contains("--max-channels-per-client"), "{told}");
        let headers_of_bob = [("authorization", bob.as_str())];
        drop(
            enter_on(kind, "bob's", loopback(2), address, &headers_of_bob)
                .await
                .unwrap_or_else(|TooMany| panic!("bob beside {kind:?}")),
        );
        besieged.others_are_served().await;
        // An idle channel is given up for a new one.
        drop(guests.pop());
        until("there is room again", || async {
            let next = format!("{kind:?}.next");
            enter_on(kind, &next, loopback(2), address, &headers)
                .await
                .is_ok()
        })
        .await;
    }
    let log = besieged.gateway.program.stderr.text();
    let said = "a client reached --max-channels-per-client";
    assert_eq!(log.matches(said).count(), 1, "once a minute: {log}");
    besieged.gateway.stop().await;
}

/// Without a token the client is its address.
#[tokio::test(flavor = "multi_thread")]
async fn a36_when_all_channels_are_taken_it_is_said() {
    let flags = ["--max-channels", "4", "--max-channels-per-client", "3"];
    let mut besieged = Besieged::with(&flags).await;
    let address = besieged.address();
    let enter = async |channel: &str, from: IpAddr| {
        enter_on(Kind::WebSocket, channel, from, address, &[]).await
    };
    let mut guests = Vec::new();
    for n in 0..3 {
        guests.push(enter(&format!("taken.{n}"), loopback(2)).await.unwrap());
    }
    assert!(enter("taken.0", loopback(3)).await.is_ok());
    assert!(enter("more", loopback(3)).await.is_err());
    let line = besieged
        .gateway
        .logged("the gateway reached --max-channels;")
        .await;
    assert!(line.contains("client=127.0.0.3"), "{line}");
    assert!(enter("more", loopback(2)).await.is_err());
    let line = besieged
        .gateway
        .logged("reached --max-channels-per-client")
        .await;
    assert!(line.contains("client=127.0.0.2"), "{line}");
    besieged.others_are_served().await;
    besieged.gateway.stop().await;
}

/// Subscribes of the flood.
const ROUNDS: usize = 100;

/// Within its rate of messages, and never with more than 128 channels.
#[tokio::test(flavor = "multi_thread")]
async fn a36_who_makes_new_channels_all_the_time_is_slowed_down() {
    let mut besieged = Besieged::with(&["--max-channels-per-client", "128"]).await;
    let address = besieged.address();
    let mut socket = WebSocket::open(address, "/v1/ws").await.unwrap();
    let begun = Instant::now();
    for n in 0..ROUNDS {
        let names = names(n * 128, 127);
        for kind in ["subscribe", "unsubscribe"] {
            let say = json!({"type": kind, "channels": names});
            socket.say(&say.to_string()).await;
        }
    }
    let (mut parted, mut refused) = (0, 0);
    while parted < ROUNDS {
        match socket.said().await {
            Said::Answer(answer) if answer["type"] == "unsubscribed" => parted += 1,
            Said::Answer(answer) => {
                assert_eq!(answer["code"], "too_many", "{answer}");
                refused += 1;
            }
            Said::Ready { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    let created = (ROUNDS - refused) * 127;
    let most = 128 + (begun.elapsed().as_secs_f64() * 1000.0) as usize;
    eprintln!("{created} of {most}, {refused} of {ROUNDS} refused");
    assert!(refused > 0 && created <= most, "{created} of {most}");
    besieged.others_are_served().await;
    let line = besieged
        .gateway
        .logged("a client creates channels too fast")
        .await;
    assert!(line.contains("client=127.0.0.1"), "{line}");
    assert!(
        line.contains("at most 1000 new channels a second"),
        "{line}"
    );
    // Joining an existing channel does not count.
    let known = names(0, 1);
    let mut other = open_from(loopback(2), address).await;
    assert_eq!(join(&mut other, &known).await, Ok(()));
    for _ in 0..200 {
        assert_eq!(join(&mut socket, &known).await, Ok(()));
        part(&mut socket, &known).await;
    }
    besieged.gateway.stop().await;
}

/// A gateway whose link to its database can be frozen without a heartbeat timeout.
async fn slow_database() -> (Besieged, Link) {
    let database = Database::new().await;
    let (head, name) = database.url.rsplit_once('/').unwrap();
    let (user, port) = head.rsplit_once(':').unwrap();
    let link = Link::to(port.parse().unwrap()).await;
    let url = format!("{user}:{}/{name}?sslmode=disable", link.port);
    let patient = ["--heartbeat-timeout", "1m", "--max-publish-rate", "10000"];
    let flags = [&TOKENS[..], &patient].concat();
    (Besieged::serve(database, &url, &flags).await, link)
}

/// 1,200 publishes from two addresses, one connection each. Returns how many were
/// refused at once.
async fn flood(to: SocketAddr, bearer: &str) -> usize {
    let (told, mut refused) = mpsc::channel(1200);
    let mut sent = 0;
    for from in [2, 3] {
        let client = grpc_over(connect(loopback(from), to).await).await.unwrap();
        for n in 0..600 {
            let message = PublishRequest {
                channel: CHANNEL.into(),
                payload: format!("{from} {n}"),
            };
            let mut request = Request::new(message);
            let metadata = request.metadata_mut();
            metadata.insert("authorization", bearer.parse().unwrap());
            let (mut client, told) = (client.clone(), told.clone());
            sent += 1;
            tokio::spawn(async move {
                let answer = client.publish(request).await;
                let status = answer.err().map(|status| status.code());
                let _ = told.send(status).await;
            });
        }
    }
    drop(told);
    // Those in the queue, and those that the session has taken.
    let most = sent - (768 + 64 + 1);
    let mut count = 0;
    within("those beyond the limit are refused", async {
        while count < most {
            let status = refused.recv().await.unwrap();
            assert_eq!(status, Some(Code::ResourceExhausted));
            count += 1;
        }
    })
    .await;
    count
}

/// While the database did not answer, one token filled the queue.
#[tokio::test(flavor = "multi_thread")]
async fn a37_one_client_leaves_a_quarter_of_the_queue_of_publishes_on_every_wire() {
    let (mut besieged, link) = slow_database().await;
    let (address, ann, bob) = (besieged.address(), bearer("ann"), bearer("bob"));
    link.freeze();
    let refused = flood(address, &ann).await;
    eprintln!("{refused} of 1200 were refused at once");
    let token = |bearer: &str| bearer.strip_prefix("Bearer ").map(str::to_owned);
    for wire in WIRES {
        let is_published = publish(wire, loopback(4), address, token(&ann).as_deref()).await;
        assert!(!is_published, "{wire:?}");
    }
    let others = WIRES.map(|wire| {
        let token = token(&bob);
        async move { publish(wire, loopback(5), address, token.as_deref()).await }
    });
    let ((), published) = tokio::join!(
        async {
            let line = besieged
                .gateway
                .logged("maximum number of queued publishes")
                .await;
            assert!(line.contains("client=sub:"), "{line}");
            link.thaw();
        },
        join_all(others)
    );
    assert_eq!(published, [true; 4]);
    besieged.others_are_served().await;
    besieged.gateway.stop().await;
}

/// One channel evicted the history of all others, within the publish rate.
#[tokio::test(flavor = "multi_thread")]
async fn a37_one_channel_leaves_three_quarters_of_the_history_to_the_others() {
    let mut besieged = Besieged::with(&["--history-bytes", "1MiB"]).await;
    let address = besieged.address();
    let mut quiet = Reader::open(Wire::WebSocket, address, &["quiet"], None).await;
    quiet.ready().await;
    besieged.database.notify("quiet", "1").await;
    let (id, _) = quiet.event().await;
    besieged.database.notify("quiet", "2").await;
    quiet.event().await;
    for wire in Wire::ALL {
        let mut reader = Reader::open(wire, address, &["flood"], None).await;
        reader.ready().await;
        tokio::spawn(async move { while reader.next().await.is_some() {} });
    }
    // 8 MiB; each byte takes six in JSON.
    let payload = "\u{1}".repeat(7999);
    for _ in 0..1000 {
        besieged.database.notify("flood", &payload).await;
    }
    besieged.others_are_served().await;
    for wire in Wire::FULL {
        let mut resumed = Reader::open(wire, address, &["quiet"], Some(&id)).await;
        match resumed.said().await {
            Said::Event { payload, .. } => assert_eq!(payload, "2"),
            other => panic!("{wire:?}: {other:?}"),
        }
        resumed.ready().await;
    }
    besieged.others_are_served().await;
    besieged.gateway.stop().await;
}
