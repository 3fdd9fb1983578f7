//! A reader that takes nothing holds up nobody, and is let go.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
};

use crate::support::{Database, TestGateway, Wire, get, until, within};

/// More than the kernel's buffers of a connection hold.
const EVENTS: i32 = 4000;

const WEB_SOCKET: &str = "GET /v1/ws?channel=a HTTP/1.1\r\nHost: pgfan\r\nConnection: Upgrade\r\n\
    Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

const SSE: &str = "GET /v1/sse?channel=a HTTP/1.1\r\nHost: pgfan\r\n\r\n";

/// Reads until it is ready, and never again.
async fn never_reads(address: SocketAddr, request: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut stream = socket.connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut said = Vec::new();
    while !String::from_utf8_lossy(&said).contains("\"ready\"") {
        within("ready", stream.read_buf(&mut said)).await.unwrap();
    }
    stream
}

#[tokio::test(flavor = "multi_thread")]
async fn who_takes_nothing_is_closed_and_the_others_get_everything() {
    let database = Database::new().await;
    let settings = [("write-timeout", "1s"), ("max-readers", "2")];
    for request in [WEB_SOCKET, SSE] {
        let gateway = TestGateway::with(&database, &settings).await;
        let stuck = never_reads(gateway.address, request).await;
        let mut reader = gateway.reader(Wire::WebSocket, "a").await;
        let sql = "SELECT pg_notify('a', n || ' ' || repeat('x', 7900)) \
                   FROM generate_series(1, $1::int) AS n";
        database.client.query(sql, &[&EVENTS]).await.unwrap();
        for n in 1..=EVENTS {
            let (_, payload) = reader.event().await;
            assert!(payload.starts_with(&format!("{n} ")), "{n}: {payload:.20}");
        }
        // Its place is free again when it is closed.
        until("the one that takes nothing is closed", || async {
            let head = hyper::body::Bytes::new();
            let path = "/v1/sse?channel=b";
            let answer = crate::support::request(gateway.address, "GET", path, &[], head);
            answer.await.status() == 200
        })
        .await;
        drop(stuck);
        assert_eq!(get(gateway.address, "/readyz", &[]).await.status, 200);
    }
}
