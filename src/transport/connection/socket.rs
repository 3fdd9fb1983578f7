//! A client's connection: TCP, or TLS over it.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

use super::{
    tcp::{Protocol, Tcp},
    tls::{self, Acceptor, Stream},
};

/// A client's socket.
#[derive(Debug)]
pub(in crate::transport) enum Socket {
    Plain(Tcp),
    /// Boxed: the TLS state is larger than all other state of a connection.
    Tls(Stream),
}

impl Socket {
    /// Opens a socket up to the point where the client's protocol is known.
    pub(in crate::transport) async fn open(
        tcp: Tcp,
        tls: Option<Acceptor>,
    ) -> io::Result<(Self, Protocol)> {
        let Some(tls) = tls else {
            let protocol = tcp.protocol().await?;
            return Ok((Self::Plain(tcp), protocol));
        };
        // Boxed, so that a connection without TLS does not reserve the room.
        let (stream, protocol) = Box::pin(tls::handshake(tcp, tls)).await?;
        Ok((Self::Tls(stream), protocol))
    }

    /// For writes that do not wait and bypass this type. Not possible over TLS: the
    /// written bytes belong into the sequence of records.
    pub(in crate::transport) fn stream(&self) -> Option<Arc<TcpStream>> {
        match self {
            Self::Plain(tcp) => Some(tcp.stream()),
            Self::Tls(_) => None,
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_read(cx, buffer),
            Self::Tls(tls) => Pin::new(tls).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_write(cx, bytes),
            Self::Tls(tls) => Pin::new(tls).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_write_vectored(cx, slices),
            Self::Tls(tls) => Pin::new(tls).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(tcp) => tcp.is_write_vectored(),
            Self::Tls(tls) => tls.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_flush(cx),
            Self::Tls(tls) => Pin::new(tls).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Self::Tls(tls) => Pin::new(tls).poll_shutdown(cx),
        }
    }
}
