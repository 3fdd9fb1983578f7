//! HTTP/2 frames of RFC 9113, section 4.1, and the part of RFC 7541 that requests
//! need.

use std::{io, net::SocketAddr};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
};

use crate::support::within;

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;

/// RFC 9113, section 7.
pub const CANCEL: [u8; 4] = 8_u32.to_be_bytes();
pub const ENHANCE_YOUR_CALM: u32 = 11;

pub const GRPC: [(&str, &str); 2] = [("content-type", "application/grpc"), ("te", "trailers")];

#[derive(Debug)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub body: Vec<u8>,
}

/// Result of a flood.
#[derive(Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The gateway accepted all of it.
    pub is_taken: bool,
    /// The error of its GOAWAY, if it sent one.
    pub told: Option<u32>,
}

pub struct Http2 {
    pub hears: Hears,
    pub says: OwnedWriteHalf,
}

impl Http2 {
    /// Connects and sends the preface and empty settings.
    pub async fn open(address: SocketAddr) -> Self {
        let (hears, says) = TcpStream::connect(address).await.unwrap().into_split();
        let mut client = Self {
            hears: Hears(hears),
            says,
        };
        let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        client.say(&preface).await.unwrap();
        client.say(&frame(SETTINGS, 0, 0, b"")).await.unwrap();
        client
    }

    pub async fn say(&mut self, bytes: &[u8]) -> io::Result<()> {
        within("the gateway reads", self.says.write_all(bytes)).await
    }

    /// Sends `part` of each number until the gateway accepts no more or all is sent,
    /// and reads at the same time, to the end of the connection.
    pub async fn flood(self, numbers: u32, part: impl Fn(u32) -> Vec<u8>) -> Outcome {
        let Self {
            mut hears,
            mut says,
        } = self;
        let saying = async {
            for first in (0..numbers).step_by(AT_ONCE) {
                let numbers = first..numbers.min(first + AT_ONCE as u32);
                let parts: Vec<u8> = numbers.flat_map(&part).collect();
                if says.write_all(&parts).await.is_err() {
                    return false;
                }
            }
            says.shutdown().await.is_ok()
        };
        let both = async { tokio::join!(saying, hears.end()) };
        let (is_taken, told) = within("the flood ends", both).await;
        Outcome { is_taken, told }
    }
}

/// Number of frames in one write of a flood.
const AT_ONCE: usize = 500;

pub struct Hears(OwnedReadHalf);

impl Hears {
    /// The next frame; `None` at the end.
    pub async fn frame(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        self.0.read_exact(&mut head).await.ok()?;
        let [a, b, c, kind, flags, stream @ ..] = head;
        let mut body = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        self.0.read_exact(&mut body).await.ok()?;
        Some(Frame {
            kind,
            flags,
            stream: u32::from_be_bytes(stream),
            body,
        })
    }

    /// The next frame of this kind.
    pub async fn next(&mut self, kind: u8) -> Frame {
        let search = async {
            loop {
                let frame = self.frame().await.expect("the connection goes on");
                if frame.kind == kind {
                    return frame;
                }
            }
        };
        within("a frame", search).await
    }

    /// Reads to the end of the connection; returns the error of a GOAWAY on the way.
    pub async fn end(&mut self) -> Option<u32> {
        let mut told = None;
        while let Some(frame) = self.frame().await {
            if frame.kind == GOAWAY {
                told = Some(u32::from_be_bytes(frame.body[4..8].try_into().unwrap()));
            }
        }
        told
    }
}

pub fn frame(kind: u8, flags: u8, stream: u32, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(body);
    frame
}

/// The fields of a request; none of them enters the other side's dynamic table.
pub fn fields(method: &str, path: &str, others: &[(&str, &str)]) -> Vec<u8> {
    let pseudo = [
        (":method", method),
        (":scheme", "http"),
        (":path", path),
        (":authority", "localhost"),
    ];
    let all = pseudo.iter().chain(others);
    all.flat_map(|(name, value)| field(name, value)).collect()
}

/// RFC 7541, section 6.2.2: a literal field without indexing, with a new name.
pub fn field(name: &str, value: &str) -> Vec<u8> {
    let mut field = vec![0];
    for text in [name, value] {
        put_length(&mut field, text.len());
        field.extend(text.as_bytes());
    }
    field
}

/// RFC 7541, section 5.1, with a prefix of 7 bits.
fn put_length(out: &mut Vec<u8>, length: usize) {
    let Some(mut rest) = length.checked_sub(127) else {
        return out.push(u8::try_from(length).unwrap());
    };
    out.push(127);
    while rest >= 128 {
        out.push(u8::try_from(rest % 128).unwrap() | 128);
        rest /= 128;
    }
    out.push(u8::try_from(rest).unwrap());
}

/// A gRPC message (<https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>).
pub fn message(compressed: bool, bytes: &[u8]) -> Vec<u8> {
    let mut message = vec![u8::from(compressed)];
    message.extend(u32::try_from(bytes.len()).unwrap().to_be_bytes());
    message.extend(bytes);
    message
}
