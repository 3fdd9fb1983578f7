//! The commands, as users and scripts run them: on a real gateway and a real
//! PostgreSQL.

#![allow(
    clippy::unwrap_used,
    missing_docs,
    unreachable_pub,
    reason = "a test binary has no public face, and fails by panicking"
)]

#[path = "../support/mod.rs"]
#[allow(
    dead_code,
    unused_imports,
    reason = "shared by all test binaries; each uses a part"
)]
mod support;

/// A terminal, and a program in it.
mod terminal;

/// `pgfan serve` in a terminal that is closed.
mod hangup;

/// A gateway behind TLS.
mod tls;

/// Tokens, on a gateway that requires them.
mod tokens;

/// Output of `pgfan listen`: its streams and formats.
mod listen;

/// `pgfan listen` reconnects, and misses nothing silently.
mod resume;

/// `pgfan listen` when a channel is removed by a reload.
mod taken_away;

/// `pgfan publish`.
mod publish;

/// `pgfan health`.
mod health;

/// `pgfan check`: its findings with real faults, and their remedies.
mod check;

/// A variable that belongs to no setting.
mod unknown;

/// Output that is not read.
mod unread;

/// Errors before the gateway serves.
mod log_format;

/// The first set-up of a gateway by a new user.
mod first_steps;

/// `pgfan triggers`: the notifications of the tables, and the rows that they
/// still accept.
mod triggers;

/// `pgfan completions`, the help, and `make help`.
mod help;

use support::{
    gateway_process::pgfan,
    program::{Ended, Program, run},
};

/// Runs `pgfan` with these arguments to its end.
async fn ended(arguments: &[&str]) -> Ended {
    run(pgfan().args(arguments)).await
}

/// `pgfan listen` on the gateway at `port`, its output in a pipe.
fn listen(port: u16, arguments: &[&str]) -> Program {
    let url = format!("http://127.0.0.1:{port}");
    Program::start(pgfan().args(["listen", "--url", &url]).args(arguments))
}
