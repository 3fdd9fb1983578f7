//! A reader that disappeared without closing is detected, also on a channel
//! without events, and its place is free again.

use pgfan::proto::SubscribeRequest;

use crate::{
    grpc_web_call::Web,
    support::{Database, Link, Reader, TestGateway, Wire, request, until},
};

/// One place, and a reader without any sign of life for two seconds is dropped.
const SETTINGS: [(&str, &str); 4] = [
    ("max-readers", "1"),
    ("max-readers-per-address", "1000"),
    ("keepalive", "1s"),
    ("write-timeout", "1s"),
];

async fn is_found(wire: Wire, what: &str, befall: impl Fn(&Link)) {
    let database = Database::new().await;
    let gateway = TestGateway::with(&database, &SETTINGS).await;
    let link = Link::to(gateway.address.port()).await;
    let near = ([127, 0, 0, 1], link.port).into();
    let mut reader = Reader::open(wire, near, &["a"], None).await;
    reader.ready().await;
    assert_eq!(joins(&gateway).await, 429);
    befall(&link);
    until(&format!("{wire:?} is found {what}"), || async {
        joins(&gateway).await == 200
    })
    .await;
}

/// gRPC-Web over HTTP/1.1, on which only messages are sent: by its heartbeat,
/// and without one by TCP keepalive probes of the kernel.
#[tokio::test(flavor = "multi_thread")]
async fn f17_who_cannot_be_reached_is_found_on_grpc_web() {
    for heartbeat in [true, false] {
        let database = Database::new().await;
        let gateway = TestGateway::with(&database, &SETTINGS).await;
        let link = Link::to(gateway.address.port()).await;
        let near = ([127, 0, 0, 1], link.port).into();
        let asked = SubscribeRequest {
            channels: vec!["a".into()],
            cursor: String::new(),
            heartbeat,
        };
        let mut web = Web::call(near, "Subscribe", &[], &asked).await;
        web.next().await.unwrap();
        assert_eq!(joins(&gateway).await, 429);
        link.lose(100);
        until(&format!("it is found, heartbeat: {heartbeat}"), || async {
            joins(&gateway).await == 200
        })
        .await;
    }
}

/// The status for a new reader that needs its place.
async fn joins(gateway: &TestGateway) -> u16 {
    let body = hyper::body::Bytes::new();
    let answer = request(gateway.address, "GET", "/v1/sse?channel=a", &[], body);
    answer.await.status().as_u16()
}

#[tokio::test(flavor = "multi_thread")]
async fn f17_who_cannot_be_reached_is_found_on_every_wire() {
    for wire in Wire::ALL {
        is_found(wire, "behind a cut cable", |link| link.lose(100)).await;
    }
}

/// A middlebox that accepts every byte and answers none. On HTTP/1 an SSE
/// reader cannot answer, and is detected when the sent data piles up.
#[tokio::test(flavor = "multi_thread")]
async fn f17_who_answers_nothing_is_found_where_an_answer_is_due() {
    for wire in [Wire::WebSocket, Wire::Grpc, Wire::PgCacheWatch] {
        is_found(wire, "behind a middlebox that hangs", Link::freeze).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn f17_who_is_only_quiet_stays() {
    let database = Database::new().await;
    let settings = [("keepalive", "100ms"), ("write-timeout", "1s")];
    let gateway = TestGateway::with(&database, &settings).await;
    let mut readers = Vec::new();
    for wire in Wire::ALL {
        readers.push(gateway.reader(wire, "a").await);
    }
    // Three times the time after which a dead one is dropped.
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    database.notify("a", "still here").await;
    for reader in &mut readers {
        assert_eq!(reader.event().await.1, "still here");
    }
}
