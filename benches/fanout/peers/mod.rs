//! The measured servers, and how each is started: on the loopback, on a free
//! port, in processes that end with the measurement.

mod bun;
mod nchan;
mod node;
mod pgcachewatch;
mod pgfan;
mod raw;
mod server;

use std::path::{Path, PathBuf};

pub use self::{pgfan::TLS_HOST, server::Server};
use crate::{
    load::{Request, Wire},
    raw::Mode,
    world::World,
};

/// Result of a start. A missing program is skipped, not a failure.
pub enum Start {
    Running(Box<Server>),
    Missing(String),
}

impl Start {
    fn running(server: Server) -> Self {
        Self::Running(Box::new(server))
    }
}

pub type StartResult = Result<Start, Box<dyn std::error::Error>>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Program {
    Raw(Mode),
    Pgfan,
    PgfanTls,
    Nchan,
    Bun,
    Node,
    PgCacheWatch,
}

/// A server, measured over one of its transports.
#[derive(Debug, Clone, Copy)]
pub struct Peer {
    pub name: &'static str,
    program: Program,
    pub wire: Wire,
    path: &'static str,
    /// Streams per connection.
    pub streams: usize,
    pub is_default: bool,
}

const fn raw(name: &'static str, wire: Wire, at_once: bool) -> Peer {
    let program = Program::Raw(Mode { wire, at_once });
    peer(name, program, wire, "/")
}

const fn peer(name: &'static str, program: Program, wire: Wire, path: &'static str) -> Peer {
    Peer {
        name,
        program,
        wire,
        path,
        streams: 1,
        is_default: true,
    }
}

/// The limit, to which all others are compared.
pub const RAW: Peer = raw("raw", Wire::WebSocket, false);

/// The gateway, over the transport of browsers.
pub const PGFAN: Peer = peer(
    "pgfan-ws",
    Program::Pgfan,
    Wire::WebSocket,
    "/v1/ws?channel=",
);

/// Peers to compare with come last.
pub const PEERS: [Peer; 15] = [
    RAW,
    raw("raw-co", Wire::WebSocket, true),
    Peer {
        is_default: false,
        ..raw("raw-sse", Wire::Sse, false)
    },
    Peer {
        is_default: false,
        ..raw("raw-grpc", Wire::Grpc, false)
    },
    PGFAN,
    Peer {
        program: Program::PgfanTls,
        name: "pgfan-wss",
        ..PGFAN
    },
    Peer {
        is_default: false,
        ..peer(
            "pgfan-ws-raw",
            Program::Pgfan,
            Wire::WebSocket,
            "/v1/ws?format=raw&channel=",
        )
    },
    peer("pgfan-sse", Program::Pgfan, Wire::Sse, "/v1/sse?channel="),
    peer("pgfan-grpc", Program::Pgfan, Wire::Grpc, ""),
    Peer {
        streams: 100,
        ..peer("pgfan-grpc-100", Program::Pgfan, Wire::Grpc, "")
    },
    peer(
        "nchan-ws",
        Program::Nchan,
        Wire::WebSocket,
        "/subscribe?channel=",
    ),
    peer(
        "nchan-sse",
        Program::Nchan,
        Wire::Sse,
        "/subscribe?channel=",
    ),
    peer("bun", Program::Bun, Wire::WebSocket, "/?channel="),
    peer("node-ws", Program::Node, Wire::WebSocket, "/?channel="),
    peer(
        "pgcachewatch",
        Program::PgCacheWatch,
        Wire::WebSocket,
        "/pgpubsub/",
    ),
];

impl Peer {
    pub async fn start(&self, world: &World) -> StartResult {
        match self.program {
            Program::Raw(mode) => raw::start(mode).await,
            Program::Pgfan => pgfan::start(world).await,
            Program::PgfanTls => pgfan::start_tls(world).await,
            Program::Nchan => nchan::start(world).await,
            Program::Bun => bun::start(world).await,
            Program::Node => node::start(world).await,
            Program::PgCacheWatch => pgcachewatch::start(world).await,
        }
    }

    /// The requests of readers, each with these channels.
    pub fn requests(&self, readers: &[Vec<String>]) -> Vec<Request> {
        let request = |readers: &[Vec<String>]| Request {
            wire: self.wire,
            path: format!("{}{}", self.path, readers[0].join("&channel=")),
            channels: readers.concat(),
            ready_is_said: self.says_ready(),
        };
        readers.chunks(self.streams).map(request).collect()
    }

    /// Whether a reader can have many: the benchmark's gRPC has one per stream.
    pub fn takes_many_channels(&self) -> bool {
        self.program == Program::Pgfan && self.wire != Wire::Grpc
    }

    fn says_ready(&self) -> bool {
        let is_pgfan = matches!(self.program, Program::Pgfan | Program::PgfanTls);
        is_pgfan && !self.path.contains("format=raw")
    }

    /// Whether it can have many channels. The limit has none, and PGCacheWatch
    /// closes connections whose LISTEN arrives while another one runs.
    pub fn has_channels(&self) -> bool {
        !matches!(self.program, Program::Raw(_) | Program::PgCacheWatch)
    }
}

/// A server's program under `benches/peers`.
fn script(name: &str) -> PathBuf {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/peers");
    Path::new(folder).join(name)
}
