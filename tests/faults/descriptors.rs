//! Without a file descriptor to spare: newcomers are refused, and the others
//! do not notice.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::support::{
    Database, Reader, Said, Wire,
    gateway_process::{GatewayProcess, libpq_variables},
    get, grpc_client,
    program::command,
    until, within,
};

/// So few, that the crowd is over it.
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

/// Another reader: the status it gets.
async fn one_more(address: SocketAddr) -> (u16, TcpStream) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = b"GET /v1/sse?channel=crowd HTTP/1.1\r\nHost: pgfan\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut head = [0; 12];
    within("an answer", stream.read_exact(&mut head))
        .await
        .unwrap();
    let status = std::str::from_utf8(&head).unwrap();
    (status[9..].parse().unwrap(), stream)
}

#[tokio::test(flavor = "multi_thread")]
async fn f32_newcomers_are_refused_and_the_others_stay() {
    let database = Database::new().await;
    let gateway = gateway(&database).await;
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
    let too_many = || async { get(address, "/readyz", &[]).await };
    let refusal = too_many().await;
    assert_eq!((refusal.status, refusal.code()), (429, "too_many".into()));
    assert!(!refusal.header("retry-after").is_empty());
    let health = get(address, "/healthz", &[]).await;
    assert_eq!(health.status, 200, "nobody is to start it anew for that");
    let refused = [
        (Wire::WebSocket, 429),
        (Wire::Sse, 429),
        (Wire::PgCacheWatch, 429),
    ];
    for (wire, status) in refused {
        let mut reader = Reader::open(wire, address, &["a"], None).await;
        assert_eq!(reader.said().await, Said::Closed(status, String::new()));
    }
    let mut client = grpc_client(address).await;
    let request = pgfan::transport::pb::SubscribeRequest {
        channels: vec!["a".into()],
        cursor: String::new(),
    };
    let status = client.subscribe(request).await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::ResourceExhausted, "{status}");
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
    drop(crowd);
    until("there is room again", || async {
        too_many().await.status == 200
    })
    .await;
    gateway.stop().await;
}
