//! POST, pipelined: for servers that take messages from no database.

use std::{io, net::SocketAddr};

use memchr::memmem;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{Message, PublishResult};

/// Requests before their answers are waited for.
const TOGETHER: usize = 50;

const ANSWER: &[u8] = b"HTTP/1.1 ";

/// Where the status stands in an answer, and what all good ones begin with.
const STATUS: usize = ANSWER.len();

pub struct Http {
    stream: TcpStream,
    path: &'static str,
    /// The start of an answer whose rest has not come.
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

    /// Bodies are not looked at: none of them holds a status line.
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
            // Of a status line in two pieces the first stays.
            let kept = self.part.len().min(ANSWER.len());
            self.part.drain(..self.part.len() - kept);
        }
        Ok(())
    }
}
