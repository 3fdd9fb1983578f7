//! Common code of all tests: a real PostgreSQL, a real gateway on it, and
//! readers of every transport with a common interface.

pub mod browser;
pub mod certificates;
mod connection;
mod database;
mod event_source;
mod gateway;
pub mod gateway_process;
mod grpc;
mod http;
pub mod large;
mod link;
pub mod pooler;
pub mod program;
mod reader;
mod said;
mod screen;
mod stuck;
pub mod tls;
mod tool;
mod websocket;

pub use connection::Connection;
pub use database::{Database, own_server, promote, standby_of};
pub use event_source::{EventSource, EventStream};
pub use gateway::{TestGateway, environment};
pub use grpc::{from_proto, grpc_client, grpc_over, subscribe_request};
pub use http::{
    Answer, answer_over, ask, get, get_h2, get_h2_over, get_h2_with, post, post_with, request,
    request_h2_over, request_over,
};
pub use link::Link;
pub use reader::{Reader, Wire};
pub use said::Said;
pub use screen::screen;
pub use stuck::{stuck_grpc_web, stuck_sse, stuck_web_socket};
pub use tool::tool;
pub use websocket::{WebSocket, closed};

use std::{future::Future, time::Duration};

/// Timeout of every wait in a test.
pub const LIMIT: Duration = Duration::from_secs(20);

/// The awaited value, or a failure that names it.
pub async fn within<T>(what: &str, wait: impl Future<Output = T>) -> T {
    match tokio::time::timeout(LIMIT, wait).await {
        Ok(value) => value,
        Err(_) => panic!("{what}: not within {LIMIT:?}"),
    }
}

/// Interval between two checks: continuous polling takes processor time from
/// what is checked.
const LOOK: Duration = Duration::from_millis(5);

/// Waits until `state` holds.
pub async fn until<F: Future<Output = bool>>(what: &str, mut state: impl FnMut() -> F) {
    within(what, async {
        while !state().await {
            tokio::time::sleep(LOOK).await;
        }
    })
    .await;
}
