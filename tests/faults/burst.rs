//! F18: one transaction with very many notifications, or many transactions in a
//! row.

use futures_util::future::join_all;
use tokio::select;

use crate::{
    audience::{Audience, come_back},
    support::{Database, Reader, Said, TestGateway, Wire, within},
};

const BURST: i32 = 100_000;

/// Reads up to the number `last`, or to a message that reports a hole because
/// the reader was too slow. Returns the number of events, and the first other
/// message.
async fn read(reader: &mut Reader, last: i32) -> (i32, Option<Said>) {
    let mut heard = 0;
    while heard < last {
        match reader.said().await {
            Said::Event { payload, .. } => {
                heard += 1;
                assert_eq!(payload, heard.to_string());
            }
            other => return (heard, Some(other)),
        }
    }
    (heard, None)
}

/// The heartbeat queues behind them, with its default deadline.
#[tokio::test(flavor = "multi_thread")]
async fn f18_a_burst_of_one_transaction_arrives_in_order_or_is_a_gap() {
    let database = Database::new().await;
    let gateway = TestGateway::on(&database).await;
    let mut audience = Audience::of(gateway.address).await;
    let pid = database.listeners().await;
    database.notify_range("a", 1, BURST).await;
    let reading = audience.everybody().map(|reader| read(reader, BURST));
    let ends = join_all(reading).await;
    for (heard, end) in &ends {
        match end {
            None => assert_eq!(*heard, BURST),
            Some(Said::Gap { reason, .. }) => assert_eq!(reason, "slow_reader"),
            Some(end) => assert_eq!(*end, Said::Closed(1012, "interrupted".into())),
        }
    }
    assert_eq!(database.listeners().await, pid, "the same session");
    database.notify("a", "end").await;
    for (reader, (_, end)) in audience.everybody().zip(ends) {
        if let Some(Said::Closed(..)) = end {
            *reader = come_back(gateway.address).await;
            database.notify("a", "end").await;
        }
        // Events after a gap are in order too.
        let mut before = 0;
        loop {
            let (_, payload) = reader.event().await;
            if payload == "end" {
                break;
            }
            let number: i32 = payload.parse().unwrap();
            assert!(number > before, "{number} after {before}");
            before = number;
        }
    }
}

/// Continuous events do not delay the channel of a new reader. The flood is at
/// most two bursts ahead of the gateway: a gateway with less processor time than
/// the server would fall further and further behind in everything.
#[tokio::test(flavor = "multi_thread")]
async fn f18_a_flood_on_one_channel_leaves_time_to_listen_to_others() {
    let database = Database::new().await;
    let gateway = TestGateway::on(&database).await;
    let _crowd = Audience::of(gateway.address).await;
    let mut pace = gateway.reader(Wire::WebSocket, "pace").await;
    let flood = async {
        for burst in 1.. {
            database.notify_range("a", 1, 5000).await;
            database.notify("pace", &burst.to_string()).await;
            if burst > 1 {
                assert_eq!(pace.event().await.1, (burst - 1).to_string());
            }
        }
    };
    let newcomers = async {
        for channel in ["b", "c", "d"] {
            let mut reader = gateway.reader(Wire::WebSocket, channel).await;
            database.notify(channel, "heard").await;
            assert_eq!(reader.event().await.1, "heard");
        }
    };
    select! {
        () = flood => {}
        () = within("newcomers hear", newcomers) => {}
    }
}
