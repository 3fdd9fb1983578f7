//! Pipelined POST, for servers that take messages without a database.

use std::{io, net::SocketAddr};

use memchr::memmem;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{Message, PublishResult};

/// Number of requests sent before their answers are awaited.
const TOGETHER: usize = 50;

const ANSWER: &[u8] = b"HTTP/1.1 ";

/// Offset of the status in an answer.
const STATUS: usize = ANSWER.len();

pub struct Http {
    stream: TcpStream,
    path: &'static str,
    /// Start of an incomplete answer.
    part: Vec<u8>,
}

impl Http {
    pub async fn connect(address: SocketAddr, path: &'static str) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            path,
            part: Vec::new(),
        })
    }

    pub async fn publish(&mut self, messages: &[Message]) -> PublishResult {
        for together in messages.chunks(TOGETHER) {
            let requests = together.iter().map(|message| self.request(message));
            let requests: String = requests.collect();
            self.stream.write_all(requests.as_bytes()).await?;
            self.answers(together.len()).await?;
        }
        Ok(())
    }

    fn request(&self, message: &Message) -> String {
        let (path, channel, text) = (self.path, &message.channel, message.text());
        let length = text.len();
        format!(
            "POST {path}?channel={channel} HTTP/1.1\r\nHost: localhost\r\n\
             Content-Type: text/plain\r\nContent-Length: {length}\r\n\r\n{text}"
        )
    }

    /// Ignores bodies: none of them holds a status line.
    async fn answers(&mut self, mut awaited: usize) -> PublishResult {
        let mut buffer = [0; 16 << 10];
        while awaited > 0 {
            let length = self.stream.read(&mut buffer).await?;
            if length == 0 {
                return Err("the server ended the publisher's connection".into());
            }
            self.part.extend(&buffer[..length]);
            while let Some(at) = memmem::find(&self.part, ANSWER)
                && let Some(status) = self.part.get(at + STATUS)
            {
                if *status != b'2' {
                    return Err("a message was refused".into());
                }
                self.part.drain(..=at + STATUS);
                awaited = awaited.saturating_sub(1);
            }
            // Keeps the first part of a split status line.
            let kept = self.part.len().min(ANSWER.len());
            self.part.drain(..self.part.len() - kept);
        }
        Ok(())
    }
}
