//! One message per line, over TCP: the smallest possible feed.

use std::{io, net::SocketAddr};

use tokio::{io::AsyncWriteExt, net::TcpStream};

use super::{Message, PublishResult};

pub struct Lines {
    stream: TcpStream,
}

impl Lines {
    pub async fn connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream })
    }

    pub async fn publish(&mut self, messages: &[Message]) -> PublishResult {
        let lines = messages.iter().map(|message| message.text() + "\n");
        let text: String = lines.collect();
        Ok(self.stream.write_all(text.as_bytes()).await?)
    }
}
