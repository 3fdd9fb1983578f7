//! Memory of an idle reader in the gateway.

use std::fs;

use futures_util::{StreamExt, stream};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    HEAVY,
    support::{
        Connection, Database,
        gateway_process::{GatewayProcess, libpq_variables, pgfan, upgrade},
        tls::Certificates,
        within,
    },
};

const READERS: usize = 10_000;

/// Fewer would prove nothing.
const FEWEST_READERS: usize = 1000;

/// File descriptors of this process and the gateway in addition to one for each
/// reader, including concurrent tests.
const OTHER_DESCRIPTORS: usize = 1000;

/// Readers that connect concurrently: the listen queue of a server holds more.
const AT_ONCE: usize = 100;

const LIMIT_BYTES: usize = 4 << 10;

/// Readers over TLS: fewer, because a handshake takes long in a debug build.
const TLS_READERS: usize = 1000;

/// rustls uses 4 KiB of it for reading a record, and some for its keys.
const TLS_LIMIT_BYTES: usize = 16 << 10;

/// A client that needs little memory in the test: it keeps only the raw bytes.
struct IdleReader<S> {
    socket: S,
    heard: Vec<u8>,
}

impl<S: Connection> IdleReader<S> {
    /// Returns once it has received `ready`.
    async fn over(mut socket: S) -> Self {
        let request = upgrade("/v1/ws?channel=all");
        socket.write_all(request.as_bytes()).await.unwrap();
        // TLS may have buffered some of it.
        socket.flush().await.unwrap();
        let heard = Vec::new();
        let mut reader = Self { socket, heard };
        let ready = reader.hear(br#"{"type":"ready""#);
        within("a reader is ready", ready).await;
        reader
    }

    async fn hear(&mut self, text: &[u8]) {
        let is_there = |heard: &[u8]| heard.windows(text.len()).any(|part| part == text);
        while !is_there(&self.heard) {
            let length = self.socket.read_buf(&mut self.heard).await.unwrap();
            assert!(length > 0, "{:?}", String::from_utf8_lossy(&self.heard));
        }
        self.heard = Vec::new();
    }
}

/// As many as this process may open and the gateway accept: both have the same
/// limit of file descriptors.
fn readers_that_fit() -> usize {
    let limits = fs::read_to_string("/proc/self/limits").unwrap();
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max open files"));
    let soft = line.unwrap().split_whitespace().nth(3).unwrap();
    let limit = soft.parse().unwrap_or(usize::MAX);
    let readers = READERS.min(limit.saturating_sub(OTHER_DESCRIPTORS));
    if readers < READERS {
        eprintln!("{readers} readers instead of {READERS}: `ulimit -n` is {soft}");
    }
    assert!(readers >= FEWEST_READERS, "`ulimit -n` is {soft}: too few");
    readers
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_web_socket_reader_costs_less_than_4_kib() {
    let _alone = HEAVY.lock().await;
    let count = readers_that_fit();
    let database = Database::new().await;
    let mut command = pgfan();
    command.arg("serve").envs(libpq_variables(&database.url));
    // All of them have one address, which otherwise gets half of the open files.
    command.args(["--max-readers-per-address", "100000"]);
    let gateway = GatewayProcess::serve(&mut command).await;
    gateway.ready().await;
    let before = gateway.resident();

    let opening = stream::iter(0..count).map(|_| async {
        let socket = TcpStream::connect(gateway.address).await;
        IdleReader::over(socket.unwrap()).await
    });
    let opened = opening.buffer_unordered(AT_ONCE).collect::<Vec<_>>();
    let mut readers = opened.await;
    let each = (gateway.resident() - before) / count;
    eprintln!("{count} idle readers, {each} bytes each");
    assert!(each < LIMIT_BYTES, "{each} bytes for each of {count}");

    database.notify("all", "are you all there?").await;
    for reader in &mut readers {
        let hears = reader.hear(b"are you all there?");
        within("each of them hears it", hears).await;
    }
    drop(readers);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_web_socket_reader_over_tls_costs_less_than_16_kib() {
    let _alone = HEAVY.lock().await;
    let (database, certificates) = (Database::new().await, Certificates::new());
    let mut command = pgfan();
    command.arg("serve").envs(libpq_variables(&database.url));
    for (name, path) in certificates.settings() {
        command.args([format!("--{name}"), path]);
    }
    let gateway = GatewayProcess::serve(&mut command).await;
    let client = certificates.client();
    let open = || async {
        let socket = client.connect(gateway.address, "http/1.1").await;
        IdleReader::over(socket.unwrap()).await
    };
    // Waits also until the gateway is live, and everything that is allocated once
    // exists.
    let first = open().await;
    let before = gateway.resident();
    let opening = stream::iter(0..TLS_READERS).map(|_| open());
    let opened = opening.buffer_unordered(AT_ONCE).collect::<Vec<_>>();
    let readers = opened.await;
    let each = (gateway.resident() - before) / readers.len();
    eprintln!("{TLS_READERS} idle readers over TLS, {each} bytes each");
    assert!(each < TLS_LIMIT_BYTES, "{each} bytes for each");
    drop((first, readers));
    gateway.stop().await;
}
