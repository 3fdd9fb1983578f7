//! The gateway is killed, ends, or is suspended: every reader is informed, or can detect it by
//! itself.

use std::{net::SocketAddr, time::Duration};

use futures_util::future::join_all;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, sleep, timeout},
};

use crate::support::{
    Database, Reader, Said, TestGateway, Wire,
    gateway_process::{GatewayProcess, libpq_variables, pgfan},
    grpc_client,
    program::{command, run},
    stuck_web_socket, until, within,
};

/// The end of each transport when the gateway shuts down.
fn shutting_down(wire: Wire) -> Said {
    let word = "shutting_down".into();
    match wire {
        Wire::WebSocket | Wire::PgCacheWatch => Said::Closed(1012, word),
        Wire::Sse => Said::Closed(200, word),
        Wire::Grpc => Said::Closed(14, "the gateway is shutting down".into()),
    }
}

async fn serve(database: &Database, flags: &[&str]) -> GatewayProcess {
    let mut command = pgfan();
    command.arg("serve").args(flags);
    command.envs(libpq_variables(&database.url));
    let gateway = GatewayProcess::serve(&mut command).await;
    gateway.ready().await;
    gateway
}

async fn ready(wire: Wire, address: SocketAddr) -> Reader {
    let mut reader = Reader::open(wire, address, &["a"], None).await;
    reader.ready().await;
    reader
}

#[tokio::test(flavor = "multi_thread")]
async fn f13_after_a_kill_a_cursor_of_the_life_before_is_a_gap() {
    let database = Database::new().await;
    let gateway = serve(&database, &[]).await;
    let mut readers = Vec::new();
    for wire in Wire::ALL {
        readers.push((wire, ready(wire, gateway.address).await));
    }
    gateway.program.signal("KILL").await;
    gateway.program.ended().await;
    let again = serve(&database, &[]).await;
    for (wire, mut reader) in readers {
        assert!(!matches!(reader.next().await, Some(Said::Event { .. })));
        if wire == Wire::PgCacheWatch {
            ready(wire, again.address).await;
            continue;
        }
        let cursor = reader.ready_cursor();
        let mut late = Reader::open(wire, again.address, &["a"], Some(&cursor)).await;
        let gap = late.said().await;
        assert!(
            matches!(&gap, Said::Gap { reason, .. } if reason == "unknown_cursor"),
            "{wire:?}: {gap:?}"
        );
        late.ready().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn f14_every_reader_is_told_to_come_back() {
    let database = Database::new().await;
    let gateway = TestGateway::on(&database).await;
    let mut readers = Vec::new();
    for wire in Wire::ALL {
        readers.push((wire, gateway.reader(wire, "a").await));
    }
    gateway.begin_shutdown();
    for (wire, reader) in &mut readers {
        assert_eq!(reader.said().await, shutting_down(*wire), "{wire:?}");
    }
    gateway.stop().await;
    until("its sessions are gone", || async {
        database.listeners().await.is_empty()
    })
    .await;
}

/// Five hundred are disconnected in steps, within the drain time.
#[tokio::test(flavor = "multi_thread")]
async fn f14_a_crowd_is_sent_away_in_steps_and_the_exit_is_clean() {
    let database = Database::new().await;
    for signal in ["TERM", "INT"] {
        let gateway = serve(&database, &["--drain-timeout", "4s"]).await;
        let address = gateway.address;
        let client = grpc_client(address).await;
        let mut readers = Vec::new();
        for n in 0..125 {
            for wire in [Wire::WebSocket, Wire::Sse, Wire::PgCacheWatch] {
                readers.push((wire, Reader::open(wire, address, &["a"], None).await));
            }
            readers.push((Wire::Grpc, Reader::on_channel(&client, "a")));
            if n % 10 == 9 {
                join_all(readers.iter_mut().rev().take(40).map(|(_, r)| r.ready())).await;
            }
        }
        let late = readers.iter_mut().rev().take(20).map(|(_, r)| r.ready());
        join_all(late).await;
        let begun = Instant::now();
        gateway.program.signal(signal).await;
        let told = readers.iter_mut().map(|(wire, reader)| async move {
            assert_eq!(reader.said().await, shutting_down(*wire), "{wire:?}");
            begun.elapsed()
        });
        let told = join_all(told).await;
        let (first, last) = (told.iter().min().unwrap(), told.iter().max().unwrap());
        assert!(
            *last - *first >= Duration::from_millis(300),
            "{first:?} {last:?}"
        );
        assert!(*last < Duration::from_secs(4), "{first:?} {last:?}");
        let refused = TcpStream::connect(address).await;
        assert!(refused.is_err(), "nobody is let in any more");
        let ended = gateway.program.ended().await;
        assert_eq!(ended.status.code(), Some(0), "{}", ended.stderr);
    }
}

/// RFC 9113, section 6.8: GOAWAY announces that the connection accepts no more streams.
#[tokio::test(flavor = "multi_thread")]
async fn f14_an_http_2_connection_ends_with_goaway() {
    let database = Database::new().await;
    let gateway = TestGateway::on(&database).await;
    let mut stream = TcpStream::connect(gateway.address).await.unwrap();
    let path = b"/v1/sse?channel=a";
    // HPACK (RFC 7541): GET, http, a literal path, a literal authority.
    let mut headers = vec![0x82, 0x86, 0x04, path.len() as u8];
    headers.extend_from_slice(path);
    headers.extend_from_slice(b"\x01\x09localhost");
    let mut hello = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    hello.extend_from_slice(&[0, 0, 0, 4, 0, 0, 0, 0, 0]);
    hello.extend_from_slice(&[0, 0, headers.len() as u8, 1, 5, 0, 0, 0, 1]);
    hello.extend_from_slice(&headers);
    stream.write_all(&hello).await.unwrap();
    let data = frame(&mut stream, 0).await;
    assert!(String::from_utf8_lossy(&data).starts_with("retry: "));
    gateway.begin_shutdown();
    frame(&mut stream, 7).await;
    gateway.stop().await;
}

/// The payload of the next frame of this type.
async fn frame(stream: &mut TcpStream, wanted: u8) -> Vec<u8> {
    within(&format!("a frame of type {wanted}"), async {
        loop {
            let mut head = [0; 9];
            stream.read_exact(&mut head).await.unwrap();
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let mut payload = vec![0; length as usize];
            stream.read_exact(&mut payload).await.unwrap();
            if head[3] == wanted {
                return payload;
            }
        }
    })
    .await
}

/// A reader that does not answer the close frame would delay the end.
#[tokio::test(flavor = "multi_thread")]
async fn f14_a_second_signal_ends_it_at_once() {
    let database = Database::new().await;
    let mut gateway = serve(&database, &["--drain-timeout", "1m"]).await;
    let _stuck = stuck_web_socket(gateway.address, "/v1/ws?channel=a").await;
    gateway.program.signal("TERM").await;
    gateway.logged("ending").await;
    // A signal sent too soon is merged with the first.
    within("a second signal is heard", async {
        let mut is_heard = false;
        while !is_heard {
            gateway.program.signal("TERM").await;
            let heard = gateway.logged("a second signal");
            is_heard = timeout(Duration::from_millis(200), heard).await.is_ok();
        }
    })
    .await;
    let ended = gateway.program.ended_within(Duration::from_secs(2)).await;
    assert_eq!(ended.status.code(), Some(1), "{}", ended.stderr);
}

/// timeout(1) signals the program, and then its whole group. Two different signals, because two
/// equal ones may be merged before they arrive.
#[tokio::test(flavor = "multi_thread")]
async fn f14_a_signal_that_comes_twice_is_one() {
    let database = Database::new().await;
    let gateway = serve(&database, &["--drain-timeout", "1s"]).await;
    let _stuck = stuck_web_socket(gateway.address, "/v1/ws?channel=a").await;
    let mut kill = command("/bin/sh");
    let pid = gateway.program.pid().to_string();
    kill.args(["-c", r#"kill -s TERM "$0"; kill -s INT "$0""#, &pid]);
    assert!(run(&mut kill).await.status.success());
    let ended = gateway.program.ended().await;
    assert_eq!(ended.status.code(), Some(0), "{}", ended.stderr);
}

/// Longer than every deadline of the session and of the readers: data that is already in the
/// sockets counts first.
#[tokio::test(flavor = "multi_thread")]
async fn f15_who_stands_still_loses_nothing() {
    let database = Database::new().await;
    let flags = [
        "--heartbeat-interval=500ms",
        "--heartbeat-timeout=1s",
        "--keepalive=500ms",
        "--write-timeout=2s",
    ];
    let gateway = serve(&database, &flags).await;
    let mut readers = Vec::new();
    for wire in Wire::ALL {
        readers.push((wire, ready(wire, gateway.address).await));
    }
    gateway.program.signal("STOP").await;
    database.notify_range("a", 1, 50).await;
    sleep(Duration::from_secs(6)).await;
    database.notify_range("a", 51, 100).await;
    gateway.program.signal("CONT").await;
    for (wire, reader) in &mut readers {
        let payloads = reader.payloads(100).await;
        let numbers = payloads.iter().map(|n| n.parse::<i32>().unwrap());
        assert!(numbers.eq(1..=100), "{wire:?}: {payloads:?}");
    }
    database.notify("a", "next").await;
    for (wire, reader) in &mut readers {
        assert_eq!(reader.event().await.1, "next", "{wire:?}");
    }
}

/// Half a minute with the default settings, longer than each of their deadlines: each reader gets
/// everything, or is informed of the loss.
#[tokio::test(flavor = "multi_thread")]
async fn f15_who_stands_still_for_long_tells_of_what_it_has_lost() {
    let database = Database::new().await;
    let gateway = serve(&database, &[]).await;
    let mut readers = Vec::new();
    for wire in Wire::ALL {
        readers.push((wire, ready(wire, gateway.address).await));
    }
    gateway.program.signal("STOP").await;
    database.notify_range("a", 1, 50).await;
    sleep(Duration::from_secs(30)).await;
    database.notify_range("a", 51, 100).await;
    gateway.program.signal("CONT").await;
    for (wire, reader) in &mut readers {
        let mut next = 1;
        while next <= 100 {
            match reader.said().await {
                Said::Event { payload, .. } => {
                    assert_eq!(payload, next.to_string(), "{wire:?}: a hole");
                    next += 1;
                }
                told => {
                    println!("{wire:?} after {next}: {told:?}");
                    break;
                }
            }
        }
    }
    for wire in Wire::ALL {
        let mut reader = ready(wire, gateway.address).await;
        database.notify("a", "next").await;
        assert_eq!(reader.event().await.1, "next", "{wire:?}");
    }
}
