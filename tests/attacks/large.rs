use std::net::SocketAddr;

use pgfan::proto::SubscribeRequest;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    besieged::Besieged,
    frames::{
        CONTINUATION, DATA, END_HEADERS, END_STREAM, GRPC, HEADERS, Http2, RST_STREAM, SETTINGS,
        field, fields, frame, message,
    },
    support::{gateway_process::upgrade, get_h2_with, grpc_client, within},
};

/// Largest growth of the gateway's memory after all of it.
const GROWTH: usize = 16 << 20;

/// A client's frame (RFC 6455, section 5.2), with a mask of zeros.
pub fn client_frame(first: u8, length: u64, body: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match length {
        0..126 => frame.push(0x80 | length as u8),
        126..65536 => {
            frame.push(0x80 | 126);
            frame.extend((length as u16).to_be_bytes());
        }
        _ => {
            frame.push(0x80 | 127);
            frame.extend(length.to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(body);
    frame
}

/// The close code that a client gets for `first` and a repeated `again`.
pub async fn closed_with(address: SocketAddr, path: &str, first: &[u8], again: &[u8]) -> u16 {
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.write_all(upgrade(path).as_bytes()).await.unwrap();
    let mut heard = Vec::new();
    while !heard.windows(4).any(|part| part == b"\r\n\r\n") {
        assert!(socket.read_buf(&mut heard).await.unwrap() > 0);
    }
    let (mut hears, mut says) = socket.into_split();
    let (first, again) = (first.to_vec(), again.repeat(1000));
    let saying = tokio::spawn(async move {
        says.write_all(&first).await?;
        while !again.is_empty() {
            says.write_all(&again).await?;
        }
        std::future::pending::<std::io::Result<()>>().await
    });
    let mut answer = heard.split_off(heard.windows(4).position(|p| p == b"\r\n\r\n").unwrap() + 4);
    let code = async {
        loop {
            if let [0x88, _, high, low, ..] = answer[..] {
                return u16::from_be_bytes([high, low]);
            }
            assert!(hears.read_buf(&mut answer).await.unwrap() > 0, "no word");
        }
    };
    let code = within("a close frame", code).await;
    saying.abort();
    code
}

#[tokio::test(flavor = "multi_thread")]
async fn a08_frames_and_messages_over_the_limit_end_the_connection() {
    let mut besieged = Besieged::new().await;
    let address = besieged.address();
    let before = besieged.gateway.resident();
    let large = client_frame(0x81, 1 << 20, &vec![b'x'; 1 << 20]);
    // Only the head; the announced payload is never sent.
    let endless = client_frame(0x81, i64::MAX as u64, b"");
    let (begin, again) = (
        client_frame(0x01, 1, b"x"),
        client_frame(0x00, 100, &[b'x'; 100]),
    );
    let ping = client_frame(0x89, 126, &[b'x'; 126]);
    for path in ["/v1/ws", "/v1/ws?channel=a&format=raw", "/pgpubsub/a"] {
        for (what, first, again, code) in [
            ("1 MiB", &large, &[][..], 1009),
            ("8 EiB", &endless, &[], 1009),
            ("fragments of 100 bytes", &begin, &again, 1009),
            ("a ping of 126 bytes", &ping, &[], 1002),
        ] {
            assert_eq!(
                closed_with(address, path, first, again).await,
                code,
                "{path}: {what}"
            );
            besieged.others_are_served().await;
        }
    }
    let growth = besieged.gateway.resident().saturating_sub(before);
    assert!(growth < GROWTH, "{growth}");
    besieged.gateway.stop().await;
}

/// The complete answer to a client that sends this request and then nothing
/// more.
async fn head_of_answer(address: SocketAddr, request: &str) -> String {
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = vec![0; 12];
    within("an answer", socket.read_exact(&mut answer))
        .await
        .unwrap();
    String::from_utf8(answer).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a08_bodies_and_messages_over_the_limit_are_not_waited_for() {
    let mut besieged = Besieged::new().await;
    let address = besieged.address();
    let before = besieged.gateway.resident();
    let post = "POST /v1/channels/a HTTP/1.1\r\nHost: localhost\r\n";
    let announced = format!("{post}Content-Length: 1000000000000\r\n\r\n");
    assert_eq!(head_of_answer(address, &announced).await, "HTTP/1.1 413");
    let part = format!("2000\r\n{}\r\n", "x".repeat(0x2000));
    let chunked = format!("{post}Transfer-Encoding: chunked\r\n\r\n{part}");
    assert_eq!(head_of_answer(address, &chunked).await, "HTTP/1.1 413");

    // The first message has 5 MiB; the second announces 4 GiB.
    let mut client = grpc_client(address).await;
    let request = SubscribeRequest {
        channels: vec!["x".repeat(5 << 20)],
        cursor: String::new(),
        heartbeat: false,
    };
    let status = client.subscribe(request).await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::InvalidArgument, "{status}");
    let mut http2 = Http2::open(address).await;
    let head = fields("POST", "/pgfan.v1.GatewayService/Publish", &GRPC);
    http2
        .say(&frame(HEADERS, END_HEADERS, 1, &head))
        .await
        .unwrap();
    let mut begin = message(false, b"");
    begin[1..5].fill(0xff);
    http2.say(&frame(DATA, 0, 1, &begin)).await.unwrap();
    let answer = http2.hears.next(HEADERS).await;
    assert_eq!((answer.stream, answer.flags & END_STREAM), (1, END_STREAM));

    besieged.others_are_served().await;
    let growth = besieged.gateway.resident().saturating_sub(before);
    assert!(growth < GROWTH, "{growth}");
}

/// Sent at once, and in HTTP/2 frames.
#[tokio::test(flavor = "multi_thread")]
async fn a16_a_megabyte_of_metadata_is_refused_and_the_others_stay() {
    let mut besieged = Besieged::new().await;
    let address = besieged.address();
    let before = besieged.gateway.resident();
    let megabyte = "x".repeat(1 << 20);
    let get = format!("GET /up HTTP/1.1\r\nHost: localhost\r\nX: {megabyte}\r\n\r\n");
    assert_eq!(head_of_answer(address, &get).await, "HTTP/1.1 431");

    // Twice the limit ends only the request, not the connection: another stream
    // on it is served.
    let mut http2 = Http2::open(address).await;
    let head = |metadata: &str| {
        let path = "/pgfan.v1.GatewayService/Subscribe";
        [fields("POST", path, &GRPC), field("x", metadata)].concat()
    };
    for part in in_parts(1, &head(&megabyte[..64 << 10])) {
        http2.say(&part).await.unwrap();
    }
    let answer = http2.hears.next(HEADERS).await;
    assert_eq!(answer.stream, 1);
    let request = frame(
        HEADERS,
        END_HEADERS | END_STREAM,
        3,
        &fields("GET", "/up", &[]),
    );
    http2.say(&request).await.unwrap();
    assert_eq!(http2.hears.next(HEADERS).await.stream, 3);

    // A megabyte ends it.
    let parts = in_parts(1, &head(&megabyte));
    let count = u32::try_from(parts.len()).unwrap();
    let http2 = Http2::open(address).await;
    let outcome = http2.flood(count, |n| parts[n as usize].clone()).await;
    assert!(outcome.told.is_some(), "{outcome:?}");

    besieged.others_are_served().await;
    let growth = besieged.gateway.resident().saturating_sub(before);
    assert!(growth < GROWTH, "{growth}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a16_the_head_of_a_request_is_as_large_as_is_set() {
    let mut besieged = Besieged::with(&["--max-header-bytes", "8KiB"]).await;
    let address = besieged.address();
    let get = |length: usize| {
        let long = "x".repeat(length);
        format!("GET /up HTTP/1.1\r\nHost: localhost\r\nX-Long: {long}\r\n\r\n")
    };
    for (length, status) in [(7 << 10, "200"), (9 << 10, "431")] {
        let answer = head_of_answer(address, &get(length)).await;
        assert_eq!(answer, format!("HTTP/1.1 {status}"), "{length}");
        let long = "x".repeat(length);
        let answer = get_h2_with(address, "/up", &[("x-long", &long)]).await;
        assert_eq!(answer.status.to_string(), status, "{length} on HTTP/2");
    }
    besieged.others_are_served().await;
}

/// RFC 9113, section 6.5.2: `SETTINGS_MAX_CONCURRENT_STREAMS` is 3.
#[tokio::test(flavor = "multi_thread")]
async fn a16_a_connection_has_as_many_streams_as_are_set() {
    let mut besieged = Besieged::with(&["--max-streams", "2"]).await;
    let mut http2 = Http2::open(besieged.address()).await;
    let settings = http2.hears.next(SETTINGS).await;
    let mut each = settings.body.chunks(6);
    assert!(each.any(|setting| setting == [0, 3, 0, 0, 0, 2]));
    let sse = fields("GET", "/v1/sse?channel=a", &[]);
    for stream in [1, 3, 5] {
        let asked = frame(HEADERS, END_HEADERS | END_STREAM, stream, &sse);
        http2.say(&asked).await.unwrap();
    }
    let refused = http2.hears.next(RST_STREAM).await;
    assert_eq!(refused.stream, 5, "it was told");
    besieged.others_are_served().await;
}

/// HEADERS and CONTINUATION, each of the largest frame size of HTTP/2.
fn in_parts(stream: u32, fields: &[u8]) -> Vec<Vec<u8>> {
    let parts = fields.chunks(16 << 10);
    let last = parts.len() - 1;
    let frames = parts.enumerate().map(|(n, part)| {
        let kind = if n == 0 { HEADERS } else { CONTINUATION };
        let flags = if n == last { END_HEADERS } else { 0 };
        frame(kind, flags, stream, part)
    });
    frames.collect()
}
