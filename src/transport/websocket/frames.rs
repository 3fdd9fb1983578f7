//! Frame counter of a WebSocket client (RFC 6455, section 5.2). tungstenite reports
//! whole messages only: a client that never ends one could send any number of
//! frames for any time.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf},
    time::Instant,
};

use crate::transport::connection::socket::Socket;

/// A socket that counts the client's frames.
#[derive(Debug)]
pub(super) struct Frames {
    socket: Socket,
    seen: Seen,
}

/// Parser state of the frames.
#[derive(Debug, Default)]
struct Seen {
    /// Head of the current frame: the first byte, and the payload length.
    first: u8,
    length: u64,
    at: Place,
    continuations: usize,
    begun: Option<Instant>,
    closed: bool,
}

#[derive(Debug, Default)]
enum Place {
    #[default]
    First,
    Second,
    /// The bytes left of an extended length, and the length of the mask.
    Length(u8, u8),
    Mask(u8),
    Payload(u64),
}

const FIN: u8 = 0x80;
const OPCODE: u8 = 0x0f;
/// Opcodes from here on are control frames, which may come between those of a
/// message.
const CONTROL: u8 = 0x08;
const CLOSE: u8 = 0x08;

/// Buffer size for discarded input.
const DISCARDED: usize = 16 << 10;

impl Frames {
    /// `read` is what has already been read from the socket.
    pub(super) fn of(socket: Socket, read: &[u8]) -> Self {
        let mut seen = Seen::default();
        seen.see(read);
        Self { socket, seen }
    }

    pub(super) fn socket(&self) -> &Socket {
        &self.socket
    }

    pub(super) fn socket_mut(&mut self) -> &mut Socket {
        &mut self.socket
    }

    /// Continuation frames since the last call. Until the next call nothing is read
    /// after the bytes that contained them.
    pub(super) fn continuations(&mut self) -> usize {
        std::mem::take(&mut self.seen.continuations)
    }

    /// Discards input up to the close frame or the end of the stream. Messages are
    /// not parsed: a client that sends as much as it can may have filled the
    /// network's buffers.
    pub(super) async fn read_to_close(&mut self) {
        let mut buffer = vec![0; DISCARDED];
        while !self.seen.closed && matches!(self.read(&mut buffer).await, Ok(1..)) {
            self.continuations();
        }
    }

    /// When the current incomplete message began.
    pub(super) fn begun(&self) -> Option<Instant> {
        self.seen.begun
    }
}

impl Seen {
    fn see(&mut self, mut bytes: &[u8]) {
        while let [byte, rest @ ..] = bytes {
            if let Place::Payload(left) = &mut self.at {
                let part = usize::try_from(*left).map_or(bytes.len(), |left| left.min(bytes.len()));
                *left -= part as u64;
                bytes = &bytes[part..];
            } else {
                self.head(*byte);
                bytes = rest;
            }
            if let Place::Payload(0) = self.at {
                self.end();
            }
        }
    }

    fn head(&mut self, byte: u8) {
        self.at = match self.at {
            Place::First | Place::Payload(_) => {
                self.begin(byte);
                Place::Second
            }
            Place::Second => {
                let mask = if byte & 0x80 == 0 { 0 } else { 4 };
                self.length = 0;
                match byte & 0x7f {
                    126 => Place::Length(2, mask),
                    127 => Place::Length(8, mask),
                    length => {
                        self.length = length.into();
                        self.after_length(mask)
                    }
                }
            }
            Place::Length(left, mask) => {
                self.length = self.length << 8 | u64::from(byte);
                match left {
                    1 => self.after_length(mask),
                    _ => Place::Length(left - 1, mask),
                }
            }
            Place::Mask(1) => Place::Payload(self.length),
            Place::Mask(left) => Place::Mask(left - 1),
        };
    }

    fn after_length(&self, mask: u8) -> Place {
        match mask {
            0 => Place::Payload(self.length),
            mask => Place::Mask(mask),
        }
    }

    fn begin(&mut self, first: u8) {
        self.first = first;
        if first & OPCODE < CONTROL {
            self.begun.get_or_insert_with(Instant::now);
        }
        if first & OPCODE == 0 {
            self.continuations += 1;
        }
    }

    fn end(&mut self) {
        self.at = Place::First;
        self.closed |= self.first & OPCODE == CLOSE;
        if self.first & OPCODE < CONTROL && self.first & FIN != 0 {
            self.begun = None;
        }
    }
}

impl AsyncRead for Frames {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        // A client that sends faster than its frames are read would otherwise keep
        // the reader inside one message.
        if self.seen.continuations > 0 {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.socket).poll_read(cx, buffer))?;
        self.seen.see(&buffer.filled()[before..]);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Frames {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Frames split at any byte.
    #[test]
    fn each_frame_is_seen_once() {
        let long = [&[0x00, 0x80 | 126, 1, 0, 0, 0, 0, 0][..], &[b'x'; 256]].concat();
        let longest = [&[0x80, 127, 0, 0, 0, 0, 0, 0, 0, 2][..], b"xx"].concat();
        let frames = [
            (&[0x01, 0x81, 0, 0, 0, 0, b'x'][..], 0, true),
            (&[0x00, 0x80, 0, 0, 0, 0], 1, true),
            (&[0x89, 0x80, 0, 0, 0, 0], 1, true),
            (&long, 2, true),
            (&longest, 3, false),
            (&[0x82, 0x80, 0, 0, 0, 0], 3, false),
        ];
        for size in [1, 2, 3, 1000] {
            let mut seen = Seen::default();
            for (frame, continuations, is_begun) in frames {
                frame.chunks(size).for_each(|part| seen.see(part));
                assert_eq!(seen.continuations, continuations);
                assert_eq!(seen.begun.is_some(), is_begun);
                assert!(!seen.closed);
            }
            let close = [0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8];
            close.chunks(size).for_each(|part| seen.see(part));
            assert!(seen.closed);
        }
    }
}
