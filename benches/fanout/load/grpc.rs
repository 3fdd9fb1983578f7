//! Just enough HTTP/2 (RFC 9113) and gRPC for streams that are only read.

use super::http::Broken;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;

const END_STREAM: u8 = 0x1;
const ACK: u8 = 0x1;
const END_HEADERS: u8 = 0x4;

const FRAME_HEAD: usize = 9;

/// The flag of compression and the length, before each gRPC message.
const MESSAGE_HEAD: usize = 5;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const INITIAL_WINDOW_SIZE: u16 = 4;

/// Flow-control window per stream and per connection, and the part of it after
/// which it is renewed.
const WINDOW: u32 = 4 << 20;
const CREDIT: u32 = WINDOW / 2;
const DEFAULT_WINDOW: u32 = 65_535;

const PATH: &str = "/pgfan.v1.GatewayService/Subscribe";

/// One stream per channel.
pub fn request(channels: &[String]) -> Vec<u8> {
    let mut out = PREFACE.to_vec();
    let mut settings = INITIAL_WINDOW_SIZE.to_be_bytes().to_vec();
    settings.extend(WINDOW.to_be_bytes());
    frame(&mut out, SETTINGS, 0, 0, &settings);
    credit(&mut out, 0, WINDOW - DEFAULT_WINDOW);
    for (stream, channel) in (1..).step_by(2).zip(channels) {
        frame(&mut out, HEADERS, END_HEADERS, stream, &headers());
        // SubscribeRequest { channels = 1 }, as its only message
        let name = channel.as_bytes();
        let length = name.len().to_le_bytes()[0];
        let mut body = vec![0, 0, 0, 0, length + 2, 0x0a, length];
        body.extend(name);
        frame(&mut out, DATA, END_STREAM, stream, &body);
    }
    out
}

/// HPACK (RFC 7541) without a dynamic table: two pairs of the static table,
/// then literals with its names, except `te`.
fn headers() -> Vec<u8> {
    let mut out = vec![0x83, 0x86]; // :method POST, :scheme http
    let literals: [(&[u8], &str); 4] = [
        (&[0x04], PATH),
        (&[0x01], "bench"),
        (&[0x0f, 0x10], "application/grpc"),
        (b"\x00\x02te", "trailers"),
    ];
    for (name, value) in literals {
        out.extend(name);
        out.push(value.len().to_le_bytes()[0]);
        out.extend(value.bytes());
    }
    out
}

fn frame(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    let length = payload.len().to_be_bytes();
    out.extend(&length[length.len() - 3..]);
    out.extend([kind, flags]);
    out.extend(stream.to_be_bytes());
    out.extend(payload);
}

fn credit(out: &mut Vec<u8>, stream: u32, more: u32) {
    frame(out, WINDOW_UPDATE, 0, stream, &more.to_be_bytes());
}

#[derive(Debug, Default)]
struct Stream {
    is_answered: bool,
    /// Start of an incomplete message.
    part: Vec<u8>,
    taken: u32,
}

/// One connection with its streams.
#[derive(Debug)]
pub struct Decoder {
    streams: Vec<Stream>,
    taken: u32,
}

impl Decoder {
    pub fn new(streams: usize) -> Self {
        let streams = std::iter::repeat_with(Stream::default).take(streams);
        Self {
            streams: streams.collect(),
            taken: 0,
        }
    }

    /// As for the WebSocket, with the stream's number.
    pub fn take(
        &mut self,
        bytes: &[u8],
        out: &mut Vec<u8>,
        mut heard: impl FnMut(usize, Option<&[u8]>),
    ) -> Result<usize, Broken> {
        let mut done = 0;
        while let Some((head, rest)) = bytes[done..].split_first_chunk::<FRAME_HEAD>() {
            let &[a, b, c, kind, flags, s0, s1, s2, s3] = head;
            let length = u32::from_be_bytes([0, a, b, c]) as usize;
            let stream = u32::from_be_bytes([s0 & 0x7f, s1, s2, s3]);
            let Some(payload) = rest.get(..length) else {
                break;
            };
            match kind {
                DATA => self.data(stream, payload, out, &mut heard)?,
                HEADERS => self.headers(stream, flags, &mut heard)?,
                SETTINGS if flags & ACK == 0 => frame(out, SETTINGS, ACK, 0, &[]),
                PING if flags & ACK == 0 => frame(out, PING, ACK, 0, payload),
                RST_STREAM => return Err("stream reset by the server"),
                GOAWAY => return Err("closed by the server"),
                _ => {}
            }
            done += FRAME_HEAD + length;
        }
        Ok(done)
    }

    fn headers(
        &mut self,
        stream: u32,
        flags: u8,
        heard: &mut impl FnMut(usize, Option<&[u8]>),
    ) -> Result<(), Broken> {
        if flags & END_STREAM != 0 {
            return Err("stream ended by the server");
        }
        let (index, stream) = self.stream(stream)?;
        if !stream.is_answered {
            stream.is_answered = true;
            heard(index, None);
        }
        Ok(())
    }

    fn data(
        &mut self,
        id: u32,
        payload: &[u8],
        out: &mut Vec<u8>,
        heard: &mut impl FnMut(usize, Option<&[u8]>),
    ) -> Result<(), Broken> {
        let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        owe(&mut self.taken, length, 0, out);
        let (index, stream) = self.stream(id)?;
        owe(&mut stream.taken, length, id, out);
        if stream.part.is_empty() {
            let done = messages(payload, |message| heard(index, Some(message)));
            stream.part.extend(&payload[done..]);
        } else {
            stream.part.extend(payload);
            let done = messages(&stream.part, |message| heard(index, Some(message)));
            stream.part.drain(..done);
        }
        Ok(())
    }

    /// Clients' streams are 1, 3, 5 and so on.
    fn stream(&mut self, id: u32) -> Result<(usize, &mut Stream), Broken> {
        let index = id as usize / 2;
        let stream = self.streams.get_mut(index);
        Ok((index, stream.ok_or("a stream that was not asked for")?))
    }
}

fn messages(bytes: &[u8], mut heard: impl FnMut(&[u8])) -> usize {
    let mut done = 0;
    while let Some((head, rest)) = bytes[done..].split_first_chunk::<MESSAGE_HEAD>() {
        let &[_, a, b, c, d] = head;
        let length = u32::from_be_bytes([a, b, c, d]) as usize;
        let Some(message) = rest.get(..length) else {
            break;
        };
        heard(message);
        done += MESSAGE_HEAD + length;
    }
    done
}

fn owe(taken: &mut u32, length: u32, stream: u32, out: &mut Vec<u8>) {
    *taken += length;
    if *taken >= CREDIT {
        credit(out, stream, *taken);
        *taken = 0;
    }
}
