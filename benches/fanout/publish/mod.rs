//! Publishers: one for each kind of server.

mod http;
mod lines;
mod notify;

use std::{io, net::SocketAddr};

use crate::payload::payload;

pub type PublishResult = Result<(), Box<dyn std::error::Error>>;

pub enum Feed {
    Lines(lines::Lines),
    Http(http::Http),
    Notify(notify::Notify),
}

/// The number of a message on its channel; the text is made when it is sent.
#[derive(Debug, Clone)]
pub struct Message {
    pub channel: String,
    pub number: u32,
}

impl Message {
    fn text(&self) -> String {
        payload(self.number)
    }
}

impl Feed {
    pub async fn lines(address: SocketAddr) -> io::Result<Self> {
        lines::Lines::connect(address).await.map(Self::Lines)
    }

    pub async fn http(address: SocketAddr, path: &'static str) -> io::Result<Self> {
        http::Http::connect(address, path).await.map(Self::Http)
    }

    pub async fn notify(database: &str) -> Result<Self, tokio_postgres::Error> {
        notify::Notify::connect(database).await.map(Self::Notify)
    }

    /// Publishes in one burst: a transaction, a write, or pipelined requests.
    pub async fn publish(&mut self, messages: &[Message]) -> PublishResult {
        match self {
            Self::Lines(feed) => feed.publish(messages).await,
            Self::Http(feed) => feed.publish(messages).await,
            Self::Notify(feed) => feed.publish(messages).await,
        }
    }
}
