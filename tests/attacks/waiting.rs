use std::{net::SocketAddr, time::Duration};

use futures_util::future::join_all;
use hyper::{Request, body::Bytes};
use pgfan::proto::{SubscribeRequest, gateway_service_client::GatewayServiceClient};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tonic::Code;

use crate::{
    PROCESSOR,
    besieged::Besieged,
    frames::{END_HEADERS, END_STREAM, GRPC, HEADERS, Http2, PING, SETTINGS, fields, frame},
    guests::{connect, loopback},
    support::{get, grpc_client, within},
};

/// Largest growth of the gateway's memory under a flood without a token.
const GROWTH: usize = 64 << 20;

/// Largest processor time for a flood of 20,000 heads, in a debug build: a
/// release build needs a twentieth.
const COST: Duration = Duration::from_secs(40);

/// Timeout for reading all of it, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

const CONNECTIONS: usize = 20;
const STREAMS: u32 = 1000;
const SUBSCRIBE: &str = "/pgfan.v1.GatewayService/Subscribe";

/// RFC 7541, section 6.2.1: the field `x` without a value, added to the other
/// side's dynamic table as its first entry (section 2.3.3).
const KEPT: [u8; 3] = [0x40, 1, b'x'];
const AGAIN: u8 = 0x80 | 62;

/// Heads of a thousand streams with `count` fields of a byte each.
fn heads(path: &str, method: &str, count: usize, flags: u8) -> Vec<u8> {
    let first = [fields(method, path, &GRPC), KEPT.to_vec(), vec![0]].concat();
    let next = [fields(method, path, &GRPC), vec![AGAIN; count]].concat();
    let head = |n: u32| match n {
        0 => frame(HEADERS, flags, 1, &first),
        n => frame(HEADERS, flags, 2 * n + 1, &next),
    };
    (0..STREAMS).flat_map(head).collect()
}

/// Data of a ping that is answered when everything before it is read.
const LAST: [u8; 8] = *b"all read";

/// Sends `bytes` on HTTP/2; the connection is held until it is dropped.
async fn say(from: u8, to: SocketAddr, settings: &[u8], bytes: &[u8]) -> TcpStream {
    let mut socket = connect(loopback(from), to).await;
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    let settings = frame(SETTINGS, 0, 0, settings);
    // A connection may be refused before it has sent everything.
    let _ = socket.write_all(&[preface, settings].concat()).await;
    let (mut hears, mut says) = socket.split();
    let bytes = [bytes, &frame(PING, 0, 0, &LAST)].concat();
    let answer = frame(PING, 1, 0, &LAST);
    let hearing = async {
        let mut heard = Vec::with_capacity(64 << 10);
        while hears.read_buf(&mut heard).await.is_ok_and(|read| read > 0) {
            if heard.windows(answer.len()).any(|part| part == answer) {
                break;
            }
            // Keeps the last bytes, which may be the beginning of the answer.
            heard.drain(..heard.len().saturating_sub(answer.len()));
        }
    };
    let (_, ()) = tokio::join!(says.write_all(&bytes), hearing);
    socket
}

/// Twenty connections that send these bytes; measures the largest growth of the
/// gateway until everything is processed.
async fn flood(what: &str, from: impl Fn(usize) -> u8, settings: &[u8], bytes: &[u8]) {
    let _alone = PROCESSOR.lock().await;
    // Other tests may delay the session's heartbeat by using the processor.
    let mut besieged = Besieged::with(&["--heartbeat-timeout", "30s"]).await;
    let address = besieged.address();
    let before = besieged.gateway.resident();
    let flooding = (0..CONNECTIONS).map(|n| say(from(n), address, settings, bytes));
    let mut most = 0;
    let mut flooding = std::pin::pin!(join_all(flooding));
    let mut looks = tokio::time::interval(Duration::from_millis(20));
    let read = async {
        loop {
            tokio::select! {
                sockets = &mut flooding => break sockets,
                _ = looks.tick() => most = most.max(besieged.gateway.resident()),
            }
        }
    };
    let sockets = timeout(PATIENCE, besieged.during(what, read))
        .await
        .unwrap_or_else(|_| panic!("{what}: not read within {PATIENCE:?}"));
    besieged.others_are_served().await;
    let spent = besieged.spent().await;
    most = most.max(besieged.gateway.resident());
    let growth = most.saturating_sub(before);
    eprintln!("{what}: {} KiB, {spent:?} of the processor", growth >> 10);
    assert!(growth < GROWTH, "{what}: {growth} bytes");
    assert!(spent < COST, "{what}: {spent:?}");
    besieged.others_are_served().await;
    drop(sockets);
    besieged.gateway.stop().await;
}

/// 920 bytes of HPACK expand to 920 fields.
#[tokio::test(flavor = "multi_thread")]
async fn a26_heads_that_are_large_when_they_are_read() {
    let heads = heads(SUBSCRIBE, "POST", 920, END_HEADERS);
    flood("heads of 920 fields", |_| 2, b"", &heads).await;
}

/// As many as allowed, from one address and from many.
#[tokio::test(flavor = "multi_thread")]
async fn a26_heads_whose_message_never_comes() {
    let heads = heads(SUBSCRIBE, "POST", 94, END_HEADERS);
    flood("heads of 100 fields", |_| 2, b"", &heads).await;
    let from = |n: usize| u8::try_from(n).unwrap() + 2;
    flood("heads from 20 addresses", from, b"", &heads).await;
}

/// The stream's initial window is 0 (`SETTINGS_INITIAL_WINDOW_SIZE`), so that no
/// answer can be sent.
#[tokio::test(flavor = "multi_thread")]
async fn a26_answers_that_nobody_takes() {
    let shut = [0, 4, 0, 0, 0, 0];
    let heads = heads("/metrics", "GET", 10, END_HEADERS | END_STREAM);
    flood("answers that nobody takes", |_| 2, &shut, &heads).await;
}

/// Trailers of a request, after its answer has begun.
#[tokio::test(flavor = "multi_thread")]
async fn a26_trailers_that_nobody_reads() {
    let mut said = heads("/v1/sse?channel=a", "GET", 10, END_HEADERS);
    let flags = END_HEADERS | END_STREAM;
    for n in 0..STREAMS {
        said.extend(frame(HEADERS, flags, 2 * n + 1, &[AGAIN; 920]));
    }
    flood("trailers", |_| 2, b"", &said).await;
}

/// All but the last byte of a message of the largest size, and of one of 4 MiB.
#[tokio::test(flavor = "multi_thread")]
async fn a26_messages_without_their_last_byte() {
    let mut besieged = Besieged::new().await;
    let address = besieged.address();
    let before = besieged.gateway.resident();
    let mut held = Vec::new();
    for (size, is_refused) in [(4 << 20, true), (60_000, false)] {
        for _ in 0..4 {
            let socket = connect(loopback(2), address).await;
            let (mut client, connection) = h2::client::handshake(socket).await.unwrap();
            held.push(tokio::spawn(async move {
                let _ = connection.await;
            }));
            let length = u32::try_from(size).unwrap().to_be_bytes();
            let message: Bytes = [&[0], &length[..], &vec![b'x'; size - 1]].concat().into();
            let mut answers = Vec::new();
            for _ in 0..80 {
                let request = Request::post(format!("http://localhost{SUBSCRIBE}"))
                    .header("content-type", "application/grpc")
                    .body(())
                    .unwrap();
                let (answer, mut sending) = client.send_request(request, false).unwrap();
                // A refusal may have ended the stream by now.
                let _ = sending.send_data(message.clone(), false);
                answers.push((answer, sending));
            }
            // Requests over the limit get an error.
            for (answer, sending) in answers {
                if is_refused {
                    let answer = within("a refusal", answer).await.unwrap();
                    assert_eq!(answer.headers()["grpc-status"], "3");
                } else {
                    held.push(tokio::spawn(async move {
                        let _held = sending;
                        let _ = answer.await;
                        std::future::pending().await
                    }));
                }
            }
        }
    }
    besieged.others_are_served().await;
    besieged.spent().await;
    let growth = besieged.gateway.resident().saturating_sub(before);
    eprintln!("messages without their last byte: {} KiB", growth >> 10);
    assert!(growth < GROWTH, "{growth} bytes");
    besieged.others_are_served().await;
    held.iter().for_each(tokio::task::JoinHandle::abort);
    besieged.gateway.stop().await;
}

/// Also on HTTP/1.1; health checks are still answered.
#[tokio::test(flavor = "multi_thread")]
async fn a26_requests_of_one_address_that_wait_on_http_1() {
    let mut besieged = Besieged::new().await;
    let address = besieged.address();
    let head = format!(
        "POST {SUBSCRIBE} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\
         Content-Type: application/grpc-web+proto\r\n\r\n"
    );
    let mut waiting = Vec::new();
    let refused = loop {
        let mut socket = connect(loopback(2), address).await;
        socket.write_all(head.as_bytes()).await.unwrap();
        let mut answer = Vec::with_capacity(4 << 10);
        let told = timeout(Duration::from_millis(1), socket.read_buf(&mut answer));
        if told.await.is_ok_and(|read| read.is_ok_and(|read| read > 0)) {
            break String::from_utf8(answer).unwrap();
        }
        waiting.push(socket);
        assert!(waiting.len() < 3000, "all of them wait");
    };
    assert!(refused.contains("grpc-status: 8"), "{refused}");
    assert!(refused.contains("content-type: application/grpc-web+proto"));
    let mut probe = connect(loopback(2), address).await;
    let question = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
    probe.write_all(question.as_bytes()).await.unwrap();
    let mut answer = vec![0; 12];
    within("health", probe.read_exact(&mut answer))
        .await
        .unwrap();
    assert_eq!(answer, b"HTTP/1.1 200");
    assert_eq!(get(address, "/up", &[]).await.status, 200, "to another");
    besieged.others_are_served().await;
    let said = "requests that are not answered yet hold all the memory they may";
    let line = besieged.gateway.logged(said).await;
    assert!(line.contains("address=127.0.0.2"), "{line}");
    drop(waiting);
    besieged.gateway.stop().await;
}

/// A thousand readers of one client are accepted.
#[tokio::test(flavor = "multi_thread")]
async fn a26_a_thousand_readers_of_one_client_are_served() {
    let mut besieged = Besieged::new().await;
    let client = grpc_client(besieged.address()).await;
    let readers = (0..STREAMS).map(|_| {
        let mut client: GatewayServiceClient<_> = client.clone();
        async move {
            let request = SubscribeRequest {
                channels: vec!["a".into()],
                ..SubscribeRequest::default()
            };
            client
                .subscribe(request)
                .await
                .map(tonic::Response::into_inner)
        }
    });
    let readers = within("all are readers", join_all(readers)).await;
    let refused: Vec<Code> = readers
        .iter()
        .filter_map(|reader| reader.as_ref().err())
        .map(tonic::Status::code)
        .collect();
    assert_eq!(refused, []);
    besieged.others_are_served().await;
}

/// A request with one more field is refused, and the connection stays.
#[tokio::test(flavor = "multi_thread")]
async fn a26_a_head_has_a_hundred_fields() {
    let mut besieged = Besieged::new().await;
    let mut http2 = Http2::open(besieged.address()).await;
    let head = |count: usize| {
        [
            fields("GET", "/up", &[]),
            KEPT.to_vec(),
            vec![0],
            vec![AGAIN; count],
        ]
        .concat()
    };
    let flags = END_HEADERS | END_STREAM;
    for (stream, count, is_taken) in [(1, 99, true), (3, 100, false), (5, 99, true)] {
        let asked = frame(HEADERS, flags, stream, &head(count));
        http2.say(&asked).await.unwrap();
        let answer = http2.hears.next(HEADERS).await;
        assert_eq!(answer.stream, stream);
        // RFC 7541, appendix A: `:status 200` is the eighth entry.
        assert_eq!(answer.body[0] == 0x88, is_taken, "{count}");
    }
    besieged.others_are_served().await;
}
