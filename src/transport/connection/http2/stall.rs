//! Whether a connection was given up because its client took nothing, or
//! answered no ping. Its streams only see that they are gone: those that are
//! readers look here, to be counted among the slow ones.

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

/// Of one connection, and of each stream as long as it lasts.
#[derive(Debug, Clone, Default)]
pub(in crate::transport) struct Stall(Arc<AtomicBool>);

impl Stall {
    pub(super) fn note(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Whether no stream is left that would look here: the connection itself has
    /// one, and so has what watches its bytes.
    pub(super) fn is_of_no_stream(&self) -> bool {
        Arc::strong_count(&self.0) <= 2
    }

    pub(in crate::transport) fn is_noted(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// In the extensions of a response whose body is a reader's: where it is
/// counted when it takes nothing.
#[derive(Debug, Clone)]
pub(in crate::transport) struct SlowReaderCounter(pub(in crate::transport) Admission);

impl SlowReaderCounter {
    pub(in crate::transport) fn is_slow(&self) {
        self.0.refused(Code::WriteTimeout);
    }
}

/// Bytes that are read before the requests in them are accepted. h2 decodes all
/// that it can read first, and a KiB of HPACK can be a head of 76 KiB.
const TURN: usize = 8 << 10;

/// What was read of a connection since all of its requests were accepted.
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

/// A connection's bytes. That they have stalled is noted here, before h2 can
/// tell the streams.
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
            // The requests first, and then the other connections.
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
