//! A link to the server that records the gateway's messages and the server's.

use std::io;

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    select,
    sync::watch,
    task::JoinHandle,
};

use crate::support::within;

/// No message of these tests is larger.
const LARGEST: usize = 1 << 20;

/// Messages of all sessions, oldest first.
#[derive(Default)]
pub struct Seen {
    /// The text of each simple query: one is one round trip.
    pub queries: Vec<String>,
    /// The first column of each row.
    pub values: Vec<String>,
    /// The channel of each notification.
    pub notified: Vec<String>,
}

impl Seen {
    /// Number of queries that begin with this keyword.
    pub fn count(&self, verb: &str) -> usize {
        let begin = |query: &&String| query.starts_with(verb);
        self.queries.iter().filter(begin).count()
    }

    /// Number of statements that begin with this keyword.
    pub fn statements(&self, verb: &str) -> usize {
        let lines = self.queries.iter().flat_map(|query| query.lines());
        lines.filter(|line| line.starts_with(verb)).count()
    }
}

pub struct Tap {
    /// The URL of the server, but through the tap.
    pub url: String,
    seen: watch::Sender<Seen>,
    accepting: JoinHandle<()>,
}

impl Tap {
    /// Starts a tap in front of the server of `url`,
    /// `postgresql://user@127.0.0.1:port/name`.
    pub async fn on(url: &str) -> Self {
        let (head, name) = url.rsplit_once('/').unwrap();
        let (user, port) = head.rsplit_once(':').unwrap();
        let far = (String::from("127.0.0.1"), port.parse::<u16>().unwrap());
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let near = listener.local_addr().unwrap().port();
        let seen = watch::Sender::<Seen>::default();
        let theirs = seen.clone();
        Self {
            // It cannot read encrypted messages.
            url: format!("{user}:{near}/{name}?sslmode=disable"),
            seen,
            accepting: tokio::spawn(async move {
                while let Ok((near, _)) = listener.accept().await {
                    let far = TcpStream::connect(&far).await.unwrap();
                    tokio::spawn(session(near, far, theirs.clone()));
                }
            }),
        }
    }

    pub fn seen(&self) -> watch::Ref<'_, Seen> {
        self.seen.borrow()
    }

    pub async fn until(&self, what: &str, state: impl FnMut(&Seen) -> bool) {
        let mut seen = self.seen.subscribe();
        drop(within(what, seen.wait_for(state)).await.unwrap());
    }

    /// Removes everything recorded so far.
    pub fn clear(&self) {
        self.seen.send_replace(Seen::default());
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Ends when either side does.
async fn session(mut near: TcpStream, mut far: TcpStream, seen: watch::Sender<Seen>) {
    let (near_read, near_write) = near.split();
    let (far_read, far_write) = far.split();
    let ask = |kind, body: &[u8]| {
        if kind == b'Q' {
            seen.send_modify(|seen| seen.queries.push(text(body)));
        }
    };
    let tell = |kind, body: &[u8]| match kind {
        // A count of columns, and for each its length and bytes.
        b'D' => seen.send_modify(|seen| seen.values.push(text(&body[6..]))),
        // The notifying process, the channel, the payload.
        b'A' => seen.send_modify(|seen| seen.notified.push(text(&body[4..]))),
        _ => {}
    };
    let asking = async {
        let (mut near_read, mut far_write) = (near_read, far_write);
        start_up(&mut near_read, &mut far_write).await?;
        carry(near_read, far_write, ask).await
    };
    select! {
        _ = asking => {}
        _ = carry(far_read, near_write, tell) => {}
    }
}

/// The text up to the first zero, or all of it.
fn text(bytes: &[u8]) -> String {
    let text = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(text).into_owned()
}

/// Carries the one message without a type.
async fn start_up(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
) -> io::Result<()> {
    let message = rest(from).await?;
    to.write_all(&message).await
}

/// Records each message and passes it on
/// (<https://www.postgresql.org/docs/current/protocol-message-formats.html>).
async fn carry(
    from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut look: impl FnMut(u8, &[u8]),
) -> io::Result<()> {
    let mut from = BufReader::new(from);
    loop {
        let kind = from.read_u8().await?;
        let mut message = rest(&mut from).await?;
        look(kind, &message[4..]);
        message.insert(0, kind);
        to.write_all(&message).await?;
    }
}

/// The length, which includes itself, and the rest of the message.
async fn rest(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let length = from.read_u32().await?;
    assert!(length as usize <= LARGEST, "a message of {length} bytes");
    let mut message = length.to_be_bytes().to_vec();
    message.resize(length as usize, 0);
    from.read_exact(&mut message[4..]).await?;
    Ok(message)
}
