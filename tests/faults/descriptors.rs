//! Without free file descriptors: new readers are refused, and the existing ones
//! are not affected.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicU8, Ordering},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
};

use crate::support::{
    Database, Reader, Said, Wire,
    gateway_process::{GatewayProcess, libpq_variables},
    get,
    program::command,
    until, within,
};

/// Lower than the number of readers in the crowd.
const LIMIT: usize = 256;
const CROWD: usize = 300;

async fn gateway(database: &Database) -> GatewayProcess {
    let mut shell = command("/bin/sh");
    let script = format!("ulimit -n {LIMIT}; exec \"$0\" serve \"$@\"");
    shell.args(["-c", &script, env!("CARGO_BIN_EXE_pgfan")]);
    shell.envs(libpq_variables(&database.url));
    let gateway = GatewayProcess::serve(&mut shell).await;
    gateway.ready().await;
    gateway
}

/// Opens another reader from the next address, and returns its status. One
/// address alone gets at most half of the descriptors.
async fn one_more(address: SocketAddr) -> (u16, TcpStream) {
    static NEXT: AtomicU8 = AtomicU8::new(0);
    let from = 2 + NEXT.fetch_add(1, Ordering::Relaxed) % 3;
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 0, from], 0).into()).unwrap();
    let mut stream = socket.connect(address).await.unwrap();
    let request = b"GET /v1/sse?channel=crowd HTTP/1.1\r\nHost: localhost\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut head = [0; 12];
    within("an answer", stream.read_exact(&mut head))
        .await
        .unwrap();
    let status = std::str::from_utf8(&head).unwrap();
    (status[9..].parse().unwrap(), stream)
}

/// A reader that is accepted has the descriptor of one whose refusal has just
/// ended, and keeps it.
async fn refusal_of(wire: Wire, address: SocketAddr, late: &mut Vec<Reader>) -> Said {
    loop {
        let mut reader = Reader::open(wire, address, &["a"], None).await;
        match reader.said().await {
            Said::Ready { .. } => late.push(reader),
            refusal => return refusal,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn f32_newcomers_are_refused_and_the_others_stay() {
    let database = Database::new().await;
    let mut gateway = gateway(&database).await;
    let address = gateway.address;
    let mut readers = Vec::new();
    for wire in Wire::ALL {
        let mut reader = Reader::open(wire, address, &["a"], None).await;
        reader.ready().await;
        readers.push(reader);
    }
    let mut crowd = Vec::new();
    let mut told = 0;
    for _ in 0..CROWD {
        match one_more(address).await {
            (200, stream) => crowd.push(stream),
            (status, _) => {
                assert_eq!(status, 429);
                told += 1;
            }
        }
    }
    assert!(told > CROWD - LIMIT && crowd.len() > LIMIT / 2, "{told}");
    let is_full = || async { get(address, "/readyz", &[]).await.status == 429 };
    within("no place is left", async {
        while !is_full().await {
            crowd.push(one_more(address).await.1);
        }
    })
    .await;
    let said = "no file descriptor is left for another connection";
    assert!(gateway.logged(said).await.contains("limit=256"));
    let refusal = get(address, "/readyz", &[]).await;
    assert_eq!((refusal.status, refusal.code()), (429, "too_many".into()));
    assert!(!refusal.header("retry-after").is_empty());
    let health = get(address, "/healthz", &[]).await;
    assert_eq!(health.status, 200, "nobody is to start it anew for that");
    let mut late = Vec::new();
    let grpc = tonic::Code::ResourceExhausted as i32;
    for (wire, status) in Wire::ALL.into_iter().zip([429, 429, grpc, 429]) {
        let refused = refusal_of(wire, address, &mut late);
        let refusal = within("a newcomer is refused", refused).await;
        assert!(
            matches!(refusal, Said::Closed(code, _) if code == status),
            "{refusal:?}"
        );
    }
    database.terminate().await;
    drop(readers.pop());
    for reader in &mut readers {
        assert_eq!(reader.said().await, Said::Interrupted);
        assert!(matches!(reader.said().await, Said::Gap { .. }));
        assert!(matches!(reader.said().await, Said::Live { .. }));
    }
    database.notify("a", "heard").await;
    for reader in &mut readers {
        assert_eq!(reader.event().await.1, "heard");
    }
    drop((crowd, late));
    until("there is room again", || async { !is_full().await }).await;
    let ended = gateway.stop().await;
    assert_eq!(ended.stderr.matches(said).count(), 1, "once a minute");
}
