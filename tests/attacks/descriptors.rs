use std::net::IpAddr;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    frames::{END_HEADERS, END_STREAM, HEADERS, SETTINGS, fields, frame},
    guests::{Guest, Kind, TooMany, connect, enter, loopback},
    support::{
        Database, Reader, Said, Wire,
        gateway_process::{GatewayProcess, libpq_variables},
        get,
        program::command,
        until, within,
    },
};

/// Limit of open file descriptors, low enough that a test can use all of them.
const LIMIT: usize = 256;

/// Descriptors for connections: 64 are kept free.
const ROOM: usize = 192;

const CROWD: usize = 300;

async fn gateway(database: &Database, flags: &[&str]) -> (GatewayProcess, Vec<Reader>) {
    let mut shell = command("/bin/sh");
    let script = format!("ulimit -n {LIMIT}; exec \"$0\" serve \"$@\"");
    shell.args(["-c", &script, env!("CARGO_BIN_EXE_pgfan")]);
    shell.args(flags).envs(libpq_variables(&database.url));
    let gateway = GatewayProcess::serve(&mut shell).await;
    gateway.ready().await;
    let mut readers = Vec::new();
    for wire in Wire::ALL {
        let mut reader = Reader::open(wire, gateway.address, &["others"], None).await;
        reader.ready().await;
        readers.push(reader);
    }
    (gateway, readers)
}

/// The gateway restores its sessions while many clients connect.
async fn the_database_is_reached_again(database: &Database, readers: &mut [Reader]) {
    database.terminate().await;
    // The last transport ends with the session.
    let (_, readers) = readers.split_last_mut().unwrap();
    for reader in &mut *readers {
        assert_eq!(reader.said().await, Said::Interrupted);
        assert!(matches!(reader.said().await, Said::Gap { .. }));
        assert!(matches!(reader.said().await, Said::Live { .. }));
    }
    database.notify("others", "heard").await;
    for reader in readers {
        assert_eq!(reader.event().await.1, "heard");
    }
}

/// An HTTP/2 connection with one request, which then stays open; it may be
/// refused for lack of room, or dropped.
async fn asks_once(from: IpAddr, gateway: &GatewayProcess) -> TcpStream {
    let mut socket = connect(from, gateway.address).await;
    let health = fields("GET", "/healthz", &[]);
    let asked = [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        frame(SETTINGS, 0, 0, b""),
        frame(HEADERS, END_HEADERS | END_STREAM, 1, &health),
    ];
    if socket.write_all(&asked.concat()).await.is_ok() {
        let _ = within("an answer, or the end", socket.read(&mut [0])).await;
    }
    socket
}

/// Readers, silent connections, and those that have sent one request.
#[tokio::test(flavor = "multi_thread")]
async fn a30_one_address_has_half_of_the_descriptors_at_most() {
    let database = Database::new().await;
    let (mut gateway, mut readers) = gateway(&database, &[]).await;
    let before = gateway.open_files();
    let flooder = loopback(2);
    let mut readers_of_it: Vec<Guest> = Vec::new();
    let mut others = Vec::new();
    for _ in 0..ROOM / 6 {
        let entered = enter(Kind::Sse, flooder, gateway.address, &[]).await;
        readers_of_it.push(entered.expect("room"));
    }
    for _ in 0..ROOM {
        others.push(asks_once(flooder, &gateway).await);
        others.push(connect(flooder, gateway.address).await);
    }
    until("it has no more than its half", || async {
        gateway.open_files() <= before + ROOM / 2
    })
    .await;
    let line = gateway.logged("an address has all connections it may (ulimit -n)");
    let line = line.await;
    assert!(line.contains("address=127.0.0.2 limit=96"), "{line}");
    for kind in Kind::ALL {
        let entered = enter(kind, loopback(3), gateway.address, &[]).await;
        assert!(entered.is_ok(), "{kind:?}");
    }
    assert_eq!(get(gateway.address, "/readyz", &[]).await.status, 200);
    the_database_is_reached_again(&database, &mut readers).await;
    let log = gateway.program.stderr.text();
    assert_eq!(log.matches("an address has all").count(), 1, "{log}");
    assert!(!log.contains("no file descriptor is left"), "{log}");
    drop((readers_of_it, others));
    until("its places are free again", || async {
        gateway.open_files() <= before
    })
    .await;
    drop(readers);
    gateway.stop().await;
}

/// Each client of a proxy counts alone, and none of them has many connections.
#[tokio::test(flavor = "multi_thread")]
async fn a30_a_crowd_behind_a_trusted_proxy_leaves_room_for_probes_and_the_database() {
    let database = Database::new().await;
    let flags = [
        "--trusted-proxies",
        "127.0.0.9",
        "--admin-listen",
        "127.0.0.1:0",
    ];
    let (mut gateway, mut readers) = gateway(&database, &flags).await;
    let admin = gateway.logged("serving metrics").await;
    let (_, admin) = admin.split_once("admin=").unwrap();
    let admin = admin.trim().parse().unwrap();
    let mut crowd = Vec::new();
    for n in 0..CROWD {
        let client = format!("198.51.{}.{}", n / 100, n % 100);
        let headers = [("x-forwarded-for", client.as_str())];
        match enter(Kind::Sse, loopback(9), gateway.address, &headers).await {
            Ok(guest) => crowd.push(guest),
            Err(TooMany) => break,
        }
    }
    let said = "the trusted proxies have all connections they may";
    let line = gateway.logged(said).await;
    let (_, limit) = line.split_once("limit=").unwrap();
    let limit: usize = limit.trim().parse().unwrap();
    assert!(limit < ROOM && limit > ROOM / 2, "{line}");
    assert!(crowd.len() <= limit, "the rest is for others");
    assert_eq!(get(gateway.address, "/readyz", &[]).await.status, 200);
    assert_eq!(get(admin, "/readyz", &[]).await.status, 200);
    // If others use up the rest, the operator is still let in.
    let is_full = || async { get(gateway.address, "/readyz", &[]).await.status == 429 };
    within("no place is left", async {
        while !is_full().await {
            crowd.extend(
                enter(Kind::Sse, loopback(3), gateway.address, &[])
                    .await
                    .ok(),
            );
        }
    })
    .await;
    let mut told = Vec::new();
    for _ in 0..CROWD {
        told.push(connect(loopback(3), gateway.address).await);
    }
    for _ in 0..8 {
        assert_eq!(get(admin, "/readyz", &[]).await.status, 200);
    }
    the_database_is_reached_again(&database, &mut readers).await;
    let log = gateway.program.stderr.text();
    assert_eq!(log.matches("no file descriptor is left").count(), 1);
    drop((crowd, told));
    until("the crowd is gone", || async {
        gateway.open_files() < ROOM / 2
    })
    .await;
    until("there is room again", || async { !is_full().await }).await;
    drop(readers);
    gateway.stop().await;
}

/// An HTTP/1.1 connection that is kept alive and not used; for HTTP/2 see
/// `a_connection_without_a_stream_is_over_within_two_minutes`.
#[tokio::test(flavor = "multi_thread")]
async fn a30_a_connection_that_is_kept_and_asks_nothing_more_is_closed() {
    let database = Database::new().await;
    let (gateway, readers) = gateway(&database, &["--request-timeout", "1s"]).await;
    let mut kept = connect(loopback(2), gateway.address).await;
    let request = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
    kept.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    within("the end", kept.read_to_end(&mut answer))
        .await
        .unwrap();
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    drop(readers);
    gateway.stop().await;
}
