//! A client's TCP connection, with a write timeout.

use std::{
    io,
    net::Shutdown,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use socket2::{SockRef, TcpKeepalive};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Sleep, sleep},
};

use crate::transport::access::limits::shares::Share;

/// The HTTP version that a client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::transport) enum Protocol {
    Http1,
    Http2,
}

/// Prefix of the HTTP/2 preface, long enough to differ from every HTTP/1 method.
const PREFACE: [u8; 4] = *b"PRI ";

/// Pause before an incomplete prefix is peeked at again.
const RETRY_INTERVAL: Duration = Duration::from_millis(100);

/// Limit of unsent bytes in the kernel's send buffer (tcp(7), `TCP_NOTSENT_LOWAT`;
/// the default is megabytes). With more, a slow reader looks like one that has
/// stopped reading, a ping is delayed by the queue, and each connection costs that
/// memory.
const UNSENT: u32 = 64 << 10;

/// A TCP stream whose writes fail with `TimedOut` when the socket accepts nothing
/// for the limit.
#[derive(Debug)]
pub(in crate::transport) struct Tcp {
    stream: Arc<TcpStream>,
    limit: Duration,
    /// Deadline while the socket accepts nothing.
    stalled: Option<Pin<Box<Sleep>>>,
    /// Share of the descriptors, held as long as the socket.
    _share: Option<Share>,
}

impl Tcp {
    /// Disables Nagle's algorithm, and detects a dead or stalled client within
    /// `limit`: the kernel if packets are not acknowledged, this type if the window
    /// stays shut.
    pub(in crate::transport) fn new(
        stream: TcpStream,
        limit: Duration,
        share: Option<Share>,
    ) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        let socket = SockRef::from(&stream);
        socket.set_tcp_user_timeout(Some(limit))?;
        // For connections that send nothing for a long time: an HTTP/1.1 request in
        // progress, gRPC-Web without a heartbeat. A probe without an answer ends
        // the connection as unacknowledged data does.
        let probes = TcpKeepalive::new().with_time(limit).with_interval(limit);
        socket.set_tcp_keepalive(&probes)?;
        socket.set_tcp_notsent_lowat(UNSENT)?;
        Ok(Self {
            stream: Arc::new(stream),
            limit,
            stalled: None,
            _share: share,
        })
    }

    /// For writes that do not wait.
    pub(super) fn stream(&self) -> Arc<TcpStream> {
        Arc::clone(&self.stream)
    }

    /// Detects the protocol from the first bytes: HTTP/2 begins with a request that
    /// HTTP/1 will never have (RFC 9113, section 3.4). The bytes stay unread.
    pub(super) async fn protocol(&self) -> io::Result<Protocol> {
        let mut first = [0; PREFACE.len()];
        loop {
            let length = self.stream.peek(&mut first).await?;
            if length == PREFACE.len() && first == PREFACE {
                return Ok(Protocol::Http2);
            }
            if length == 0 || !PREFACE.starts_with(&first[..length]) {
                return Ok(Protocol::Http1);
            }
            // Well-behaved clients do not send fewer bytes at once.
            sleep(RETRY_INTERVAL).await;
        }
    }

    /// The result of a write, or `TimedOut` when the socket has accepted nothing
    /// for the limit.
    fn watch<T>(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let limit = self.limit;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(limit)));
        stalled
            .as_mut()
            .poll(cx)
            .map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

/// Repeats a call until it no longer returns `WouldBlock`: readiness can be
/// spurious.
fn poll_io<T>(
    mut ready: impl FnMut() -> Poll<io::Result<()>>,
    mut call: impl FnMut() -> io::Result<T>,
) -> Poll<io::Result<T>> {
    loop {
        ready!(ready())?;
        match call() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            result => return Poll::Ready(result),
        }
    }
}

impl AsyncRead for Tcp {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let stream = &self.stream;
        let read = || stream.try_read(buffer.initialize_unfilled());
        let read = ready!(poll_io(|| stream.poll_read_ready(cx), read))?;
        buffer.advance(read);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Tcp {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let stream = &self.stream;
        let written = poll_io(|| stream.poll_write_ready(cx), || stream.try_write(bytes));
        self.watch(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let stream = &self.stream;
        // `send` costs the kernel less than `writev`, and most writes have one
        // slice.
        let write = || match slices {
            [slice] => stream.try_write(slice),
            _ => stream.try_write_vectored(slices),
        };
        let written = poll_io(|| stream.poll_write_ready(cx), write);
        self.watch(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// TCP has nothing to flush.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(SockRef::from(&*self.stream).shutdown(Shutdown::Write))
    }
}
