//! A client's TCP connection, with a limit to how long it may take nothing.

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

/// What a client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::transport) enum Protocol {
    Http1,
    Http2,
}

/// As much of HTTP/2's beginning as tells it from every method of HTTP/1.
const PREFACE: [u8; 4] = *b"PRI ";

/// How long the rest of the first four bytes is waited for, before they are
/// looked at again.
const RETRY_INTERVAL: Duration = Duration::from_millis(100);

/// What the kernel holds for a client beside what is on its way: with more of
/// it (tcp(7), `TCP_NOTSENT_LOWAT`; the default is megabytes) a slow reader
/// looks like one that takes nothing, a ping waits long for its turn, and each
/// costs the machine that memory.
const UNSENT: u32 = 64 << 10;

/// See the module.
#[derive(Debug)]
pub(in crate::transport) struct Tcp {
    stream: Arc<TcpStream>,
    limit: Duration,
    /// Runs while the socket takes nothing.
    stalled: Option<Pin<Box<Sleep>>>,
    /// Of the descriptors, as long as this is one.
    _share: Option<Share>,
}

impl Tcp {
    /// Events are sent at once, and a client that is gone, or takes nothing,
    /// is noticed within `limit`: by the kernel where its packets are not
    /// acknowledged, by us where its window stays shut.
    pub(in crate::transport) fn new(
        stream: TcpStream,
        limit: Duration,
        share: Option<Share>,
    ) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        let socket = SockRef::from(&stream);
        socket.set_tcp_user_timeout(Some(limit))?;
        // For a wire on which nothing is sent for long: an HTTP/1.1 request that is
        // being answered, gRPC-Web without a heartbeat. Not answered, a probe ends
        // the connection as any other byte does.
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

    /// To write what can be written without waiting.
    pub(super) fn stream(&self) -> Arc<TcpStream> {
        Arc::clone(&self.stream)
    }

    /// As its first bytes tell: those of HTTP/2 are a request that HTTP/1 will
    /// never have (RFC 9113, section 3.4). They stay unread.
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
            // So few bytes come alone from nobody who means well.
            sleep(RETRY_INTERVAL).await;
        }
    }

    /// What the socket took, or that it has taken nothing for the limit.
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

/// Calls until the socket is ready, which it may only have seemed to be.
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
        // `send` costs the kernel less than `writev`, and most writes are of one
        // piece.
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
