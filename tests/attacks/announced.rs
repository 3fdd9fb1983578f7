use std::net::SocketAddr;

use futures_util::future::join_all;
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    PROCESSOR,
    besieged::Besieged,
    frames::{DATA, END_HEADERS, GRPC, HEADERS, PING, SETTINGS, fields, frame},
    guests::{connect, loopback},
    support::{gateway_process::upgrade, within},
};

/// Address space beyond what the gateway has: less than the announced lengths.
const SPACE: usize = 256 << 20;

const CONNECTIONS: usize = 6;
const STREAMS: u32 = 1000;

/// Limits the address space, so that a large allocation fails and ends the
/// process.
fn bound(besieged: &Besieged) {
    let pid = besieged.gateway.program.pid();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmSize:"));
    let kilobytes: u64 = line
        .unwrap()
        .split_whitespace()
        .nth(1)
        .unwrap()
        .parse()
        .unwrap();
    let limit = Some((kilobytes << 10) + SPACE as u64);
    let limit = Rlimit {
        current: limit,
        maximum: limit,
    };
    let pid = Pid::from_raw(pid.to_string().parse().unwrap());
    prlimit(pid, Resource::As, limit).unwrap();
}

/// A thousand gRPC messages of which only the prefix of five bytes is sent.
async fn prefixes(to: SocketAddr, path: &str, length: u32) -> TcpStream {
    let head = fields("POST", path, &GRPC);
    let prefix = [&[0][..], &length.to_be_bytes()].concat();
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    bytes.extend(frame(SETTINGS, 0, 0, b""));
    for n in 0..STREAMS {
        bytes.extend(frame(HEADERS, END_HEADERS, 2 * n + 1, &head));
        bytes.extend(frame(DATA, 0, 2 * n + 1, &prefix));
    }
    let last = *b"all read";
    bytes.extend(frame(PING, 0, 0, &last));
    let mut socket = connect(loopback(2), to).await;
    let (mut hears, mut says) = socket.split();
    let hearing = async {
        let mut heard = Vec::new();
        while hears.read_buf(&mut heard).await.is_ok_and(|read| read > 0) {
            if heard.windows(last.len()).any(|part| part == last) {
                break;
            }
            heard.drain(..heard.len().saturating_sub(last.len()));
        }
    };
    let (_, ()) = tokio::join!(says.write_all(&bytes), hearing);
    socket
}

#[tokio::test(flavor = "multi_thread")]
async fn a27_the_length_of_a_message_is_no_reason_to_allocate_it() {
    let _alone = PROCESSOR.lock().await;
    let mut besieged = Besieged::with(&["--heartbeat-timeout", "30s"]).await;
    let address = besieged.address();
    bound(&besieged);
    for path in [
        "/pgfan.v1.GatewayService/Subscribe",
        "/grpc.health.v1.Health/Check",
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
    ] {
        for length in [60 << 10, 4 << 20] {
            let flood = (0..CONNECTIONS).map(|_| prefixes(address, path, length));
            let what = format!("{path}: {length} announced");
            let held = within(&what, join_all(flood)).await;
            besieged.others_are_served().await;
            drop(held);
        }
    }
    besieged.gateway.stop().await;
}

/// Frames of WebSockets, and bodies.
#[tokio::test(flavor = "multi_thread")]
async fn a27_nor_is_the_length_of_a_frame_or_a_body() {
    let mut besieged = Besieged::new().await;
    let address = besieged.address();
    bound(&besieged);
    let text = |length: u64| [&[0x81, 0x80 | 127][..], &length.to_be_bytes(), &[0; 4]].concat();
    let body = |length: u64| {
        let head = format!(
            "POST /v1/channels/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n"
        );
        head.into_bytes()
    };
    let open = upgrade("/v1/ws?channel=a").into_bytes();
    let chunk =
        b"POST /v1/channels/a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n\
                  7fffffffffffffff\r\n"
            .to_vec();
    let mut held = Vec::new();
    for said in [
        [open.clone(), text(60 << 10)].concat(),
        [open, text(i64::MAX as u64)].concat(),
        body(7999),
        body(i64::MAX as u64),
        chunk,
    ] {
        for _ in 0..200 {
            let mut socket = connect(loopback(2), address).await;
            socket.write_all(&said).await.unwrap();
            held.push(socket);
        }
        besieged.others_are_served().await;
    }
    besieged.gateway.stop().await;
}
