use std::time::SystemTime;

use futures_util::FutureExt;

use super::*;
use crate::{
    auth::Patterns,
    channel_demand::{Demand, ListenRequest},
    event::Notification,
    hub::{CLIENT, Config, Cursor, Hub, Subscription},
};

/// A reader of `a` with `count` events to catch up on.
fn behind(count: usize) -> Subscription {
    let demand = Demand::default();
    let hub = Hub::new(Config::default(), demand.clone());
    let name = ChannelName::new("a").unwrap();
    let subscribe = |cursor| {
        let mut subscription = hub.subscribe(WireName::WebSocket, CLIENT).unwrap();
        subscription
            .join(std::slice::from_ref(&name), cursor)
            .unwrap();
        subscription
    };
    let mut first = subscribe(None);
    let wishes = demand.changed().now_or_never().unwrap();
    hub.ingest(|intake| {
        intake.live(false);
        for (name, wish) in wishes {
            let ListenRequest::Listen(generation, _) = wish else {
                unreachable!()
            };
            intake.listening(&name, generation);
        }
    });
    let ready = first.next().now_or_never().unwrap().unwrap();
    let Ok(Delivery::Ready { cursor, .. }) = ready else {
        panic!("{ready:?}")
    };
    hub.ingest(|intake| {
        for n in 0..count {
            intake.notification(Notification {
                channel: "a".into(),
                payload: n.to_string().into(),
            });
        }
    });
    subscribe(Some(Cursor::At(cursor)))
}

/// A stream that is never idle gets no extra time.
#[tokio::test]
async fn a_token_that_has_ended_is_noticed_before_much_more_is_given() {
    let all = Patterns::all;
    let grant = Grant::of_token(all(), all(), all(), SystemTime::UNIX_EPOCH);
    let subscription = AuthorizedSubscription::with_grant(behind(1000), grant.clone());
    let mut deliveries = Deliveries::new(subscription, &grant);
    let mut given = 0;
    let status = loop {
        match deliveries.next().await.unwrap() {
            Ok(_) => given += 1,
            Err(status) => break status,
        }
    };
    assert_eq!(status.code(), tonic::Code::Unauthenticated);
    assert_eq!(given, LOOK - 1);
}
