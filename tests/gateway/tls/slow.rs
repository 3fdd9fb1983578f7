//! A TLS reader that reads nothing, or little: the same as over plain TCP.

use futures_util::future::join_all;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    net::TcpSocket,
};

use super::Secured;
use crate::support::{
    WebSocket, Wire,
    gateway_process::upgrade,
    large::{EVENTS, STEP, goes_on_to, hears_large, is_overtaken, notify_large},
    until, within,
};

#[tokio::test(flavor = "multi_thread")]
async fn who_is_overtaken_gets_a_gap_and_goes_on_at_the_head() {
    let settings = [("history-bytes", "1MiB"), ("write-timeout", "1m")];
    let secured = Secured::with(&settings).await;
    let (mut slow, mut quick) = (Vec::new(), Vec::new());
    for wire in Wire::ALL {
        slow.push((wire, secured.reader(wire).await));
        quick.push(secured.reader(wire).await);
    }
    for first in (1..EVENTS).step_by(STEP as usize) {
        let numbers = first..=first + STEP - 1;
        notify_large(&secured.database, numbers.clone()).await;
        let reading = quick.iter_mut();
        join_all(reading.map(|reader| hears_large(reader, numbers.clone()))).await;
    }
    for (wire, reader) in &mut slow {
        is_overtaken(reader, *wire).await;
    }
    secured.database.notify("a", "at the head").await;
    for (wire, reader) in slow.iter_mut().filter(|(w, _)| *w != Wire::PgCacheWatch) {
        goes_on_to(reader, "at the head", *wire).await;
    }
}

/// Of 100 KB the kernel buffers some 70 for a client that reads nothing, and
/// TLS the rest. Nothing is sent after that, no keepalive either.
#[tokio::test(flavor = "multi_thread")]
async fn who_takes_it_late_gets_the_last_of_it_too() {
    let secured = Secured::with(&[("keepalive", "1h")]).await;
    let client = secured.certificates.client();
    let mut quick = secured.reader(Wire::WebSocket).await;
    let sse = "GET /v1/sse?channel=a HTTP/1.1\r\nHost: localhost\r\n\r\n";
    for request in [upgrade("/v1/ws?channel=a"), sse.to_owned()] {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        let socket = socket.connect(secured.gateway.address).await.unwrap();
        let mut late = client.over(socket, "").await.unwrap();
        late.write_all(request.as_bytes()).await.unwrap();
        late.flush().await.unwrap();
        hears_text(&mut late, "\"ready\"").await;
        notify_large(&secured.database, 1..=13).await;
        hears_large(&mut quick, 1..=13).await;
        let last = format!("13 {}", "x".repeat(7900));
        hears_text(&mut late, &last).await;
    }
}

/// Reads up to and including the text.
async fn hears_text(stream: &mut (impl AsyncRead + Unpin), text: &str) {
    let mut heard = Vec::new();
    while !String::from_utf8_lossy(&heard).contains(text) {
        let read = within("it goes on", stream.read_buf(&mut heard));
        assert_ne!(read.await.unwrap(), 0, "an end");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_takes_nothing_is_closed_and_the_others_get_everything() {
    for wire in [Wire::WebSocket, Wire::Sse, Wire::PgCacheWatch] {
        let settings = [
            ("write-timeout", "1s"),
            ("max-readers", "2"),
            ("max-readers-per-address", "2"),
        ];
        let secured = Secured::with(&settings).await;
        let stuck = secured.reader(wire).await;
        let mut reader = secured.reader(Wire::WebSocket).await;
        notify_large(&secured.database, 1..=EVENTS).await;
        hears_large(&mut reader, 1..=EVENTS).await;
        let client = secured.certificates.client();
        // Its place is free again when it is closed.
        until("the one that takes nothing is closed", || async {
            let socket = client.connect(secured.gateway.address, "").await;
            let another = WebSocket::over(socket.unwrap(), "/v1/ws?channel=b");
            another.await.is_ok()
        })
        .await;
        drop(stuck);
    }
}
