//! Client of a gateway, for the commands that read and publish. It follows the
//! contract's rules for clients: it resumes with the last cursor, and reports
//! interruptions.

mod address;
mod ask;
mod dial;
mod ended;
mod event_stream;
mod follow;
mod grpc;
mod message;
mod publish;
mod request;
mod sse;
mod token;
mod web_socket;

use std::time::Duration;

pub use address::{Address, AddressError};
pub use ask::ask;
pub use ended::Ended;
pub use follow::{FollowEvent, follow};
pub use message::Message;
pub use publish::publish;
pub use token::{Token, TokenError};

use crate::event::ChannelName;

/// A gateway and the token for it.
#[derive(Debug, Clone)]
pub struct Gateway {
    /// Address of the gateway.
    pub address: Address,
    /// Token for the requests.
    pub token: Token,
}

/// Transport of the events. The messages are the same on each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wire {
    /// `GET /v1/ws`
    WebSocket,
    /// `GET /v1/sse`
    Sse,
    /// `pgfan.v1.GatewayService/Subscribe`
    Grpc,
}

/// Options of a reader.
#[derive(Debug, Clone)]
pub struct ReadOptions {
    /// Transport.
    pub wire: Wire,
    /// Not empty.
    pub channels: Vec<ChannelName>,
    /// Cursor to resume from; empty for new events only.
    pub cursor: String,
    /// Keepalive interval of an idle connection, which counts as dead after twice
    /// this time without input. On SSE, where only the gateway can send, it must
    /// not be shorter than the gateway's own.
    pub keepalive: Duration,
}

/// Input of a connection: a message, or a keepalive for the reader itself.
#[derive(Debug)]
enum StreamItem {
    Message(Message),
    /// A keepalive.
    Nothing,
}
