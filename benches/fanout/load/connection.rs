//! One connection: its bytes in both directions.

use std::io::{ErrorKind, Read, Write};

use mio::{Interest, Registry, Token};

use super::{
    grpc,
    http::{Broken, Request, Wire},
    sse,
    stream::{Stream, Target},
    tally::Tally,
    websocket,
};
use crate::payload::micros;

enum Decoder {
    WebSocket(websocket::Decoder),
    Sse(sse::Decoder),
    Grpc(grpc::Decoder),
}

pub struct Connection {
    /// `None` if it failed to connect, or has ended.
    stream: Option<Stream>,
    decoder: Decoder,
    /// Bytes that could not be written yet.
    out: Vec<u8>,
    /// Start of an incomplete frame.
    part: Vec<u8>,
    first_reader: usize,
    readers: usize,
    /// Readers for which `ready` is expected and has not arrived.
    awaited: Vec<bool>,
    is_timed: bool,
}

impl Connection {
    pub fn open(target: &Target, request: &Request, first_reader: usize, is_timed: bool) -> Self {
        let readers = request.readers();
        Self {
            stream: Stream::open(target).ok(),
            decoder: match request.wire {
                Wire::WebSocket => Decoder::WebSocket(websocket::Decoder::default()),
                Wire::Sse => Decoder::Sse(sse::Decoder::default()),
                Wire::Grpc => Decoder::Grpc(grpc::Decoder::new(readers)),
            },
            out: request.bytes(),
            part: Vec::new(),
            first_reader,
            readers,
            awaited: vec![request.ready_is_said; readers],
            is_timed,
        }
    }

    /// False if there is no socket: the machine's limit is reached.
    pub fn register(&mut self, registry: &Registry, token: Token, interest: Interest) -> bool {
        let stream = self.stream.as_mut();
        stream.is_some_and(|stream| stream.register(registry, token, interest))
    }

    /// Reads all available bytes, and writes as much as possible.
    pub fn turn(&mut self, buffer: &mut [u8], tally: &mut Tally) {
        let result = self.read(buffer, tally).and_then(|()| self.write());
        if let Err(reason) = result
            && self.stream.take().is_some()
        {
            tally.closed(self.readers, reason);
        }
    }

    /// Reads until the socket is empty.
    fn read(&mut self, buffer: &mut [u8], tally: &mut Tally) -> Result<(), Broken> {
        loop {
            let Some(stream) = &mut self.stream else {
                return Ok(());
            };
            let kept = self.part.len();
            buffer[..kept].copy_from_slice(&self.part);
            let filled = match stream.read(&mut buffer[kept..]) {
                Ok(0) => return Err("ended by the server"),
                Ok(length) => kept + length,
                Err(error) if is_early(error.kind()) => return Ok(()),
                Err(_) => return Err("broken"),
            };
            let is_all = filled < buffer.len() && stream.is_read_whole();
            let done = self.decode(&buffer[..filled], tally)?;
            self.part.clear();
            self.part.extend(&buffer[done..filled]);
            if is_all {
                return Ok(());
            }
            if done == 0 && filled == buffer.len() {
                return Err("a frame larger than the buffer");
            }
        }
    }

    fn decode(&mut self, bytes: &[u8], tally: &mut Tally) -> Result<usize, Broken> {
        let read_at = self.is_timed.then(micros);
        let (first, awaited) = (self.first_reader, &mut self.awaited);
        let mut heard = |index: usize, message: Option<&[u8]>| match message {
            None if !awaited[index] => tally.ready(),
            None => {}
            Some(message) => {
                let is_ours = tally.message(first + index, message, read_at);
                if !is_ours && std::mem::take(&mut awaited[index]) {
                    tally.ready();
                }
            }
        };
        match &mut self.decoder {
            Decoder::WebSocket(it) => it.take(bytes, &mut self.out, |said| heard(0, said)),
            Decoder::Sse(it) => it.take(bytes, |said| heard(0, said)),
            Decoder::Grpc(it) => it.take(bytes, &mut self.out, heard),
        }
    }

    fn write(&mut self) -> Result<(), Broken> {
        while let Some(stream) = &mut self.stream
            && !self.out.is_empty()
        {
            match stream.write(&self.out) {
                Ok(length) => drop(self.out.drain(..length)),
                Err(error) if is_early(error.kind()) => return Ok(()),
                Err(_) => return Err("broken"),
            }
        }
        match self.stream.as_mut().map(Write::flush) {
            Some(Err(error)) if !is_early(error.kind()) => Err("broken"),
            _ => Ok(()),
        }
    }
}

/// Nothing to read, no room to write, or not connected yet.
fn is_early(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::WouldBlock | ErrorKind::NotConnected)
}
