//! The limit: a bare loop that writes a frame encoded in advance to each
//! socket. A process of its own, as all other servers: this program, started
//! with `raw` as its argument.
//!
//! It takes lines on one port, writes them to the clients of the other, and
//! ends when the connection of its feed does.

mod frames;

use std::{
    io::{self, ErrorKind, Read, Write},
    net::{Ipv4Addr, SocketAddr},
};

use mio::{
    Events, Interest, Poll, Token,
    net::{TcpListener, TcpStream},
};

use self::frames::{answer, encode};
use crate::load::Wire;

const LISTENER: Token = Token(usize::MAX);
const FEED_LISTENER: Token = Token(usize::MAX - 1);
const FEED: Token = Token(usize::MAX - 2);

/// The argument that makes this program the raw server.
pub const ARGUMENT: &str = "raw";

/// Transport and write mode of a raw server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mode {
    pub wire: Wire,
    /// Sends all outstanding frames in one write, not one each.
    pub at_once: bool,
}

impl Mode {
    pub fn arguments(self) -> [&'static str; 3] {
        let wire = match self.wire {
            Wire::WebSocket => "websocket",
            Wire::Sse => "sse",
            Wire::Grpc => "grpc",
        };
        [ARGUMENT, wire, if self.at_once { "at-once" } else { "" }]
    }

    pub fn from_arguments(words: &[String]) -> Self {
        let word = |at: usize| words.get(at).map(String::as_str);
        Self {
            wire: match word(1) {
                Some("sse") => Wire::Sse,
                Some("grpc") => Wire::Grpc,
                _ => Wire::WebSocket,
            },
            at_once: word(2) == Some("at-once"),
        }
    }
}

/// Prints its two ports, for readers and for the feed, and serves.
pub fn run(mode: Mode) -> io::Result<()> {
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let mut server = Server {
        poll: Poll::new()?,
        listener: TcpListener::bind(any)?,
        feed_listener: TcpListener::bind(any)?,
        feed: None,
        unfinished: Vec::new(),
        log: Log::default(),
        readers: Vec::new(),
        mode,
    };
    let registry = server.poll.registry();
    registry.register(&mut server.listener, LISTENER, Interest::READABLE)?;
    registry.register(&mut server.feed_listener, FEED_LISTENER, Interest::READABLE)?;
    let (readers, feed) = (&server.listener, &server.feed_listener);
    println!("{} {}", readers.local_addr()?, feed.local_addr()?);
    server.run()
}

/// All frames since the start, one after the other.
#[derive(Default)]
struct Log {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

struct Reader {
    stream: TcpStream,
    is_answered: bool,
    /// Its position in the log, in frames and bytes.
    frames: usize,
    bytes: usize,
}

struct Server {
    poll: Poll,
    listener: TcpListener,
    feed_listener: TcpListener,
    feed: Option<TcpStream>,
    /// Start of an incomplete line.
    unfinished: Vec<u8>,
    log: Log,
    readers: Vec<Reader>,
    mode: Mode,
}

impl Server {
    fn run(&mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(1024);
        let mut buffer = vec![0; 1 << 20];
        loop {
            if let Err(error) = self.poll.poll(&mut events, None)
                && error.kind() != ErrorKind::Interrupted
            {
                return Err(error);
            }
            for event in &events {
                match event.token() {
                    LISTENER => self.accept()?,
                    FEED_LISTENER => self.accept_feed()?,
                    FEED if !self.publish(&mut buffer)? => return Ok(()),
                    FEED => {}
                    Token(index) => self.attend(index, &mut buffer),
                }
            }
        }
    }

    fn accept(&mut self) -> io::Result<()> {
        while let Some(mut stream) = accepted(&self.listener)? {
            stream.set_nodelay(true)?;
            let interest = Interest::READABLE | Interest::WRITABLE;
            let token = Token(self.readers.len());
            self.poll
                .registry()
                .register(&mut stream, token, interest)?;
            self.readers.push(Reader {
                stream,
                is_answered: false,
                frames: self.log.ends.len(),
                bytes: self.log.bytes.len(),
            });
        }
        Ok(())
    }

    fn accept_feed(&mut self) -> io::Result<()> {
        if let Some(mut stream) = accepted(&self.feed_listener)? {
            let registry = self.poll.registry();
            registry.register(&mut stream, FEED, Interest::READABLE)?;
            self.feed = Some(stream);
        }
        Ok(())
    }

    /// Answers a request (one segment on the loopback), or continues with a
    /// reader whose socket was full.
    fn attend(&mut self, index: usize, buffer: &mut [u8]) {
        let reader = &mut self.readers[index];
        if reader.is_answered {
            while matches!(reader.stream.read(buffer), Ok(1..)) {}
            self.write(index);
        } else if matches!(reader.stream.read(buffer), Ok(1..)) {
            let written = reader.stream.write(answer(self.mode.wire));
            reader.is_answered = written.is_ok();
        }
    }

    /// False at the end of the feed.
    fn publish(&mut self, buffer: &mut [u8]) -> io::Result<bool> {
        loop {
            let Some(feed) = &mut self.feed else {
                return Ok(false);
            };
            match feed.read(buffer) {
                Ok(0) => return Ok(false),
                Ok(length) => self.take_lines(&buffer[..length]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(true),
                Err(error) => return Err(error),
            }
        }
    }

    fn take_lines(&mut self, bytes: &[u8]) {
        self.unfinished.extend(bytes);
        let text = std::mem::take(&mut self.unfinished);
        let mut lines = text.split(|byte| *byte == b'\n');
        let rest = lines.next_back().unwrap_or_default();
        for line in lines {
            encode(self.mode.wire, line, &mut self.log.bytes);
            self.log.ends.push(self.log.bytes.len());
            if !self.mode.at_once {
                self.write_all();
            }
        }
        self.write_all();
        self.unfinished.extend(rest);
    }

    fn write_all(&mut self) {
        for index in 0..self.readers.len() {
            self.write(index);
        }
    }

    fn write(&mut self, index: usize) {
        let reader = &mut self.readers[index];
        while let Some(frame_end) = self.log.ends.get(reader.frames) {
            let all = self.log.bytes.len();
            let end = if self.mode.at_once { all } else { *frame_end };
            let Ok(length) = reader.stream.write(&self.log.bytes[reader.bytes..end]) else {
                return; // no room, or gone
            };
            reader.bytes += length;
            if reader.bytes == all {
                reader.frames = self.log.ends.len();
            } else if reader.bytes == *frame_end {
                reader.frames += 1;
            }
        }
    }
}

fn accepted(listener: &TcpListener) -> io::Result<Option<TcpStream>> {
    match listener.accept() {
        Ok((stream, _)) => Ok(Some(stream)),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}
