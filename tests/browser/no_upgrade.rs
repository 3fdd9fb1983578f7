//! A proxy that blocks WebSockets, as some company networks have.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

const REFUSED: &[u8] = b"HTTP/1.1 403 Forbidden\r\nContent-Type: text/html\r\n\
                         Content-Length: 14\r\nConnection: close\r\n\r\n<h1>No.</h1>\r\n";

/// Longest head of a request; a longer one is not passed on.
const MAX_HEAD: usize = 16 << 10;

pub struct NoUpgrade {
    pub address: std::net::SocketAddr,
    accepting: JoinHandle<()>,
}

impl NoUpgrade {
    pub async fn to(port: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let accepting = tokio::spawn(async move {
            loop {
                let (near, _) = listener.accept().await.unwrap();
                tokio::spawn(carry(near, port));
            }
        });
        Self { address, accepting }
    }
}

impl Drop for NoUpgrade {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// One request per connection: a client that keeps the connection stays on the
/// same gateway, and a browser requests an upgrade on a new one.
async fn carry(mut near: TcpStream, port: u16) -> Option<()> {
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        if near.read_buf(&mut head).await.ok()? == 0 || head.len() > MAX_HEAD {
            return None;
        }
    }
    if String::from_utf8_lossy(&head)
        .to_lowercase()
        .contains("\nupgrade: websocket")
    {
        return near.write_all(REFUSED).await.ok();
    }
    let mut far = TcpStream::connect(("127.0.0.1", port)).await.ok()?;
    far.write_all(&head).await.ok()?;
    copy_bidirectional(&mut near, &mut far)
        .await
        .ok()
        .map(|_| ())
}
