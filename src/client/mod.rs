//! The other end of a wire: a gateway's reader and publisher, for the
//! commands. It keeps the contract's recipe for clients: it comes back with the
//! last cursor, and says when it heard nothing.

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

/// A gateway, and who asks it.
#[derive(Debug, Clone)]
pub struct Gateway {
    /// Where it is.
    pub address: Address,
    /// What it is shown.
    pub token: Token,
}

/// Which way the events come. What they say is the same on each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wire {
    /// `GET /v1/ws`
    WebSocket,
    /// `GET /v1/sse`
    Sse,
    /// `pgfan.v1.GatewayService/Subscribe`
    Grpc,
}

/// What is read, and how.
#[derive(Debug, Clone)]
pub struct ReadOptions {
    /// Which way.
    pub wire: Wire,
    /// Not empty.
    pub channels: Vec<ChannelName>,
    /// Where to go on; empty for what comes from now on.
    pub cursor: String,
    /// How often an idle connection shows that it lives. One that has not for
    /// twice that is dead: so on SSE, where only the gateway can say something,
    /// it must be no shorter than the gateway's own.
    pub keepalive: Duration,
}

/// What comes on a wire: for people, or only for the reader.
#[derive(Debug)]
enum StreamItem {
    Message(Message),
    /// A sign of life.
    Nothing,
}
