//! Whether a connection was closed because its client stopped reading or answered
//! no ping. Its streams only see that the connection is gone: readers check this
//! flag, to be counted as slow.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::transport::{access::admission::Admission, protocol::codes::Code};

/// Flag of a connection. The connection, the watcher of its bytes and each open
/// stream hold a clone.
#[derive(Debug, Clone, Default)]
pub(in crate::transport) struct Stall(Arc<AtomicBool>);

impl Stall {
    pub(super) fn note(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Whether no stream is open: two clones belong to the connection itself and to
    /// the watcher of its bytes.
    pub(super) fn is_of_no_stream(&self) -> bool {
        Arc::strong_count(&self.0) <= 2
    }

    pub(in crate::transport) fn is_noted(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// Response extension for a reader's body: counts the reader as slow if it stops
/// reading.
#[derive(Debug, Clone)]
pub(in crate::transport) struct SlowReaderCounter(pub(in crate::transport) Admission);

impl SlowReaderCounter {
    pub(in crate::transport) fn is_slow(&self) {
        self.0.refused(Code::WriteTimeout);
    }
}

/// Bytes read before the requests in them are accepted. h2 first decodes all that
/// it can read, and one KiB of HPACK can decode to a head of 76 KiB.
const TURN: usize = 8 << 10;

/// Number of bytes read from a connection since all of its requests were accepted.
#[derive(Debug, Clone, Default)]
pub(super) struct Read(Arc<AtomicUsize>);

impl Read {
    pub(super) fn all_accepted(&self) {
        self.0.store(0, Ordering::Relaxed);
    }

    fn add(&self, bytes: usize) {
        self.0.fetch_add(bytes, Ordering::Relaxed);
    }

    fn is_enough(&self) -> bool {
        self.0.load(Ordering::Relaxed) >= TURN
    }
}

/// A connection's byte stream. It records a stall before h2 reports the error to
/// the streams.
pub(super) struct Watched<IO> {
    io: IO,
    stall: Stall,
    read: Read,
}

impl<IO: Unpin> Watched<IO> {
    pub(super) fn new(io: IO, stall: Stall, read: Read) -> Self {
        Self { io, stall, read }
    }

    fn watch<T>(
        &mut self,
        call: impl FnOnce(Pin<&mut IO>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        let result = call(Pin::new(&mut self.io));
        if let Poll::Ready(Err(error)) = &result
            && error.kind() == io::ErrorKind::TimedOut
        {
            self.stall.note();
        }
        result
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Watched<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.read.is_enough() {
            // Accept the requests first, then let other connections run.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        let read = self.watch(|io| io.poll_read(cx, buffer));
        self.read.add(buffer.filled().len() - before);
        read
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Watched<IO> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.watch(|io| io.poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.watch(|io| io.poll_write_vectored(cx, slices))
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.watch(|io| io.poll_flush(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.watch(|io| io.poll_shutdown(cx))
    }
}
