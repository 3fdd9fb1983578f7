//! Every scenario on each transport: from `ready` on, each event once and in
//! order.

use futures_util::future::join_all;

use crate::support::{Database, Reader, Said, TestGateway, Wire, grpc_client};

/// The original PGCacheWatch server loses 14 of 30 here.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_notified_at_the_instant_of_ready_arrives() {
    let database = Database::new().await;
    let gateway = TestGateway::on(&database).await;
    for wire in Wire::ALL {
        for round in 0..200 {
            let channel = format!("{wire:?}_{round}");
            let mut reader = gateway.reader(wire, &channel).await;
            database.notify(&channel, "now").await;
            assert_eq!(reader.event().await.1, "now", "{channel}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn also_while_fifty_others_subscribe_to_new_channels() {
    let database = Database::new().await;
    let gateway = TestGateway::on(&database).await;
    for wire in Wire::ALL {
        for round in 0..4 {
            let newcomers = (0..50).map(|n| {
                let (gateway, database) = (&gateway, &database);
                async move {
                    let channel = format!("{wire:?} {round} {n}");
                    let mut reader = gateway.reader(wire, &channel).await;
                    database.notify(&channel, &channel).await;
                    assert_eq!(reader.event().await.1, channel);
                }
            });
            join_all(newcomers).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_wires_hear_the_same_in_the_same_order() {
    let database = Database::new().await;
    let gateway = TestGateway::on(&database).await;
    let mut readers = Vec::new();
    for wire in Wire::FULL {
        let mut reader = Reader::open(wire, gateway.address, &["a", "b"], None).await;
        let Said::Ready { channels, .. } = reader.said().await else {
            panic!("{wire:?} is not ready");
        };
        assert_eq!(channels, ["a", "b"]);
        readers.push(reader);
    }
    for n in 0..100 {
        database
            .notify(if n % 3 == 0 { "a" } else { "b" }, &n.to_string())
            .await;
    }
    let mut heard = Vec::new();
    for reader in &mut readers {
        let mut said = Vec::new();
        for _ in 0..100 {
            said.push(reader.said().await);
        }
        heard.push(said);
    }
    assert!(heard[0] == heard[1] && heard[1] == heard[2], "{heard:#?}");
    let payloads = heard[0].iter().map(|said| match said {
        Said::Event { payload, .. } => payload.parse::<i32>().unwrap(),
        other => panic!("{other:?}"),
    });
    assert!(payloads.eq(0..100));
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_in_one_transaction_arrive_whole_and_in_order() {
    let database = Database::new().await;
    let gateway = TestGateway::on(&database).await;
    let mut readers = Vec::new();
    for wire in Wire::ALL {
        readers.push(gateway.reader(wire, "burst").await);
    }
    database.notify_range("burst", 1, 10_000).await;
    let reading = readers.iter_mut().map(|reader| reader.payloads(10_000));
    for payloads in join_all(reading).await {
        let numbers = payloads
            .iter()
            .map(|payload| payload.parse::<i32>().unwrap());
        assert!(numbers.eq(1..=10_000));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_readers_a_wire_hear_it_over_one_session() {
    let database = Database::new().await;
    let gateway = TestGateway::on(&database).await;
    let mut readers = Vec::new();
    for wire in [Wire::WebSocket, Wire::Sse] {
        for _ in 0..1000 {
            readers.push(Reader::open(wire, gateway.address, &["all"], None).await);
        }
    }
    for _ in 0..10 {
        let client = grpc_client(gateway.address).await;
        readers.extend((0..100).map(|_| Reader::on_channel(&client, "all")));
    }
    join_all(readers.iter_mut().map(Reader::ready)).await;
    for payload in ["one", "two", "three"] {
        database.notify("all", payload).await;
    }
    for heard in join_all(readers.iter_mut().map(|reader| reader.payloads(3))).await {
        assert_eq!(heard, ["one", "two", "three"]);
    }
    assert_eq!(database.listeners().await.len(), 1);
}
