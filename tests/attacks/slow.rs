use std::{convert::Infallible, net::SocketAddr, time::Duration};

use futures_util::{future::join_all, stream};
use http_body_util::StreamBody;
use hyper::{
    Request,
    body::{Bytes, Frame},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    select,
    task::JoinSet,
    time::{Instant, interval},
};

use crate::{
    PROCESSOR,
    besieged::Besieged,
    frames::{CONTINUATION, END_HEADERS, END_STREAM, GRPC, HEADERS, SETTINGS, fields, frame},
    support::{gateway_process::upgrade, within},
};

const SUBSCRIBE: &str = "/pgfan.v1.GatewayService/Subscribe";

/// Timeout for a head, and for a body.
const PATIENCE: Duration = Duration::from_secs(3);
const IMPATIENT: [&str; 2] = ["--request-timeout", "3s"];

/// How late a limit may take effect here, and how much earlier it may seem to
/// be over.
const SLACK: Duration = Duration::from_secs(4);

const EACH: usize = 100;

/// Sends all of `first`, then one byte of `rest` each second, repeatedly;
/// returns the answer when the gateway closes the connection.
async fn trickle(address: SocketAddr, first: Vec<u8>, rest: &'static [u8]) -> String {
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.write_all(&first).await.unwrap();
    let (mut hears, mut says) = socket.split();
    let mut heard = Vec::new();
    let mut seconds = interval(Duration::from_secs(1));
    for byte in rest.iter().cycle() {
        select! {
            _ = seconds.tick() => {}
            length = hears.read_buf(&mut heard) => {
                if length.unwrap_or(0) == 0 {
                    break;
                }
                continue;
            }
        }
        if says.write_all(&[*byte]).await.is_err() {
            break;
        }
    }
    String::from_utf8_lossy(&heard).into_owned()
}

fn http2(frames: &[Vec<u8>]) -> Vec<u8> {
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    let settings = frame(SETTINGS, 0, 0, b"");
    [&[preface, settings], frames].concat().concat()
}

/// Name, first bytes, and the bytes that follow slowly.
fn kinds() -> Vec<(&'static str, Vec<u8>, &'static [u8])> {
    let begin = frame(HEADERS, 0, 1, b"");
    let get = b"GET /v1/sse?channel=a HTTP/1.1\r\nHost: localhost\r\n";
    let up = b"GET /up HTTP/1.1\r\nHost: localhost\r\n\r\n";
    vec![
        ("nothing but a byte", vec![], b"G"),
        ("a head", get.to_vec(), b"X: y\r\n"),
        ("the second head", up.to_vec(), b"G"),
        (
            "HTTP/2's preface",
            vec![],
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        ),
        ("HTTP/2's first head", http2(&[begin]), b"\x00"),
        ("nothing on HTTP/2", http2(&[]), b"\x00"),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a06_who_takes_all_the_time_there_is_is_closed() {
    let _alone = PROCESSOR.lock().await;
    let mut besieged = Besieged::with(&IMPATIENT).await;
    let address = besieged.address();
    let begun = Instant::now();
    let mut slow = JoinSet::new();
    for (what, first, rest) in kinds() {
        for _ in 0..EACH {
            let first = first.clone();
            slow.spawn(async move {
                trickle(address, first, rest).await;
                (what, begun.elapsed())
            });
        }
    }
    besieged.others_are_served().await;
    while let Some(closed) = slow.join_next().await {
        let (what, after) = closed.unwrap();
        assert!(after < PATIENCE + SLACK, "{what}: {after:?}");
        besieged.others_are_served().await;
    }
    besieged
        .stands("600 slow clients", Duration::from_secs(2))
        .await;
}

/// A message or a body that arrives byte by byte; the connection itself is
/// healthy.
#[tokio::test(flavor = "multi_thread")]
async fn a06_a_body_that_does_not_come_is_not_waited_for() {
    let mut besieged = Besieged::with(&IMPATIENT).await;
    let address = besieged.address();
    let post = "POST /v1/channels/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n";
    let web = "POST /pgfan.v1.GatewayService/Subscribe HTTP/1.1\r\nHost: localhost\r\n\
               Content-Type: application/grpc-web+proto\r\nContent-Length: 100\r\n\r\n";
    let (http, grpc_web, grpc) = tokio::join!(
        answer(address, post.as_bytes().to_vec()),
        answer(address, web.as_bytes().to_vec()),
        grpc_status(address),
    );
    assert!(http.starts_with("HTTP/1.1 400"), "{http}");
    assert!(grpc_web.contains("grpc-status: 3"), "{grpc_web}");
    assert_eq!(grpc, "3");
    besieged.others_are_served().await;
}

/// In the middle of a frame, a client answers no ping.
#[tokio::test(flavor = "multi_thread")]
async fn a06_a_frame_that_does_not_end_is_not_waited_for() {
    let mut besieged = Besieged::with(&["--keepalive", "1s", "--write-timeout", "2s"]).await;
    let address = besieged.address();
    // The header of a text of 1000 bytes, with a mask of zeros.
    let text = [0x81, 0x80 | 126, 0x03, 0xe8, 0, 0, 0, 0];
    let web_socket = |path: &str| [upgrade(path).as_bytes(), &text].concat();
    let up = frame(
        HEADERS,
        END_HEADERS | END_STREAM,
        1,
        &fields("GET", "/up", &[]),
    );
    let second_head = [
        up,
        frame(HEADERS, 0, 3, b""),
        vec![0, 0x40, 0, CONTINUATION],
    ];
    let kinds = [
        ("/v1/ws", web_socket("/v1/ws")),
        ("raw", web_socket("/v1/ws?channel=a&format=raw")),
        ("/pgpubsub", web_socket("/pgpubsub/a")),
        ("a second head on HTTP/2", http2(&second_head)),
    ];
    let closing = kinds.map(async |(what, first)| {
        let begun = Instant::now();
        trickle(address, first, b"\0").await;
        // Includes 5 s for its answer to the close frame.
        let limit = Duration::from_secs(3 + 5) + SLACK;
        assert!(begun.elapsed() < limit, "{what}");
    });
    join_all(closing).await;
    besieged.others_are_served().await;
}

/// The complete answer to a client that sends this request and nothing more.
async fn answer(address: SocketAddr, request: Vec<u8>) -> String {
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.write_all(&request).await.unwrap();
    let mut answer = Vec::new();
    within("an answer", socket.read_to_end(&mut answer))
        .await
        .unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

/// The status of a request whose message does not arrive.
async fn grpc_status(address: SocketAddr) -> String {
    let io = TokioIo::new(TcpStream::connect(address).await.unwrap());
    let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), io);
    let (mut sender, connection) = handshake.await.unwrap();
    tokio::spawn(connection);
    let mut request = Request::post(format!("http://{address}{SUBSCRIBE}"));
    for (name, value) in GRPC {
        request = request.header(name, value);
    }
    let never = stream::pending::<Result<Frame<Bytes>, Infallible>>();
    let request = request.body(StreamBody::new(never)).unwrap();
    let answer = within("an answer", sender.send_request(request)).await;
    let status = answer.unwrap().headers()["grpc-status"].clone();
    status.to_str().unwrap().to_owned()
}
