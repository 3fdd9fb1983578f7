//! The client address that the gateway sees.

use std::net::Ipv4Addr;

use crate::{
    proxy::{Kind, Proxy},
    support::{Database, EventStream, TestGateway},
};

const SETTINGS: [(&str, &str); 2] = [
    ("trusted-proxies", "127.0.0.1"),
    ("max-readers-per-address", "1"),
];

/// Opens a stream; the error is the status.
async fn open(proxy: &Proxy, from: Ipv4Addr, says: &str) -> Result<EventStream, u16> {
    let connection = proxy.connect_from(from, "http/1.1").await;
    let headers = [("x-forwarded-for", says)];
    EventStream::over(connection, "/v1/sse?channel=a", &headers).await
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_are_told_apart_whatever_they_say() {
    let (one, other) = (Ipv4Addr::new(127, 0, 0, 2), Ipv4Addr::new(127, 0, 0, 3));
    for kind in Kind::ALL {
        let database = Database::new().await;
        let gateway = TestGateway::with(&database, &SETTINGS).await;
        let proxy = Proxy::start(kind, gateway.address).await;
        let first = open(&proxy, one, "198.51.100.1").await;
        assert!(first.is_ok(), "{kind:?}");
        let second = open(&proxy, one, "198.51.100.2").await;
        assert_eq!(second.err(), Some(429), "{kind:?}");
        let third = open(&proxy, other, "198.51.100.1").await;
        assert!(third.is_ok(), "{kind:?}");
    }
}
