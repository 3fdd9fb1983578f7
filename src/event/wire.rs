//! Names of the transports.

/// Transport by which a reader receives events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WireName {
    /// `/v1/ws`, in both formats.
    WebSocket,
    /// `/v1/sse`, in both formats.
    Sse,
    /// gRPC and gRPC-Web.
    Grpc,
    /// `/pgpubsub/{channel}`.
    PgCacheWatch,
}

/// Number of transports.
pub const WIRES: usize = 4;

impl WireName {
    /// In the order of their numbers.
    pub const ALL: [Self; WIRES] = [Self::WebSocket, Self::Sse, Self::Grpc, Self::PgCacheWatch];

    /// The name in metrics and on the status page.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::WebSocket => "websocket",
            Self::Sse => "sse",
            Self::Grpc => "grpc",
            Self::PgCacheWatch => "pgcachewatch",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_stands_at_its_number() {
        for (number, wire) in WireName::ALL.into_iter().enumerate() {
            assert_eq!(wire as usize, number);
        }
    }
}
