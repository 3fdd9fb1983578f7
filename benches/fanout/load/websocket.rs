//! A server's frames of a WebSocket (RFC 6455); each is a whole message.

use super::http::{self, Broken};

const TEXT: u8 = 0x81;
const BINARY: u8 = 0x82;
const CLOSE: u8 = 0x88;
const PING: u8 = 0x89;
const PONG: u8 = 0x8a;

/// A client must mask; a mask of zeros leaves the bytes unchanged.
const MASKED: u8 = 0x80;
const MASK: [u8; 4] = [0; 4];

#[derive(Debug, Default)]
pub struct Decoder {
    is_open: bool,
}

impl Decoder {
    /// Passes on the answer as `None`, and each message; returns the number of
    /// bytes consumed.
    pub fn take(
        &mut self,
        bytes: &[u8],
        out: &mut Vec<u8>,
        mut heard: impl FnMut(Option<&[u8]>),
    ) -> Result<usize, Broken> {
        let mut done = 0;
        if !self.is_open {
            let Some(length) = http::head(bytes, b"101")? else {
                return Ok(0);
            };
            self.is_open = true;
            done = length;
            heard(None);
        }
        while let Some((kind, message, length)) = frame(&bytes[done..]) {
            match kind {
                TEXT | BINARY => heard(Some(message)),
                PING => pong(message, out),
                PONG => {}
                CLOSE => return Err("closed by the server"),
                _ => return Err("a frame that is no whole message"),
            }
            done += length;
        }
        Ok(done)
    }
}

/// First byte, payload and total length of a frame.
fn frame(bytes: &[u8]) -> Option<(u8, &[u8], usize)> {
    let (kind, short) = (*bytes.first()?, *bytes.get(1)?);
    let (start, length) = match short {
        126 => (4, u64::from(u16::from_be_bytes(array(bytes, 2)?))),
        127 => (10, u64::from_be_bytes(array(bytes, 2)?)),
        _ => (2, u64::from(short)),
    };
    let end = start + usize::try_from(length).ok()?;
    Some((kind, bytes.get(start..end)?, end))
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at + N)?.try_into().ok()
}

/// Control frames carry at most 125 bytes.
fn pong(message: &[u8], out: &mut Vec<u8>) {
    let length = message.len().min(125);
    out.extend([PONG, MASKED | length.to_le_bytes()[0]]);
    out.extend(MASK);
    out.extend(&message[..length]);
}
