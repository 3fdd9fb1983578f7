//! The commands for people and scripts, run as they run them: on a real
//! gateway and a real PostgreSQL.

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

/// Tokens, at a gateway that asks for them.
mod tokens;

/// `pgfan listen`: what it says, where and for whom.
mod listen;

/// `pgfan listen` comes back, and misses nothing in silence.
mod resume;

/// `pgfan listen` where a channel is taken away.
mod taken_away;

/// `pgfan publish`.
mod publish;

/// `pgfan health`.
mod health;

/// `pgfan check`: what it finds with real faults, and the remedy it names.
mod check;

/// A variable that no setting has.
mod unknown;

/// What is said to nobody.
mod unread;

/// What is said before the gateway serves.
mod log_format;

/// What somebody meets who sets up the gateway for the first time.
mod first_steps;

/// `pgfan triggers`: what the tables then tell, and what they keep writing.
mod triggers;

/// `pgfan completions`, the help, and `make help`.
mod help;

use support::{
    gateway_process::pgfan,
    program::{Ended, Program, run},
};

/// `pgfan` with these arguments, to its end.
async fn ended(arguments: &[&str]) -> Ended {
    run(pgfan().args(arguments)).await
}

/// `pgfan listen` on the gateway at `port`, its output in a pipe.
fn listen(port: u16, arguments: &[&str]) -> Program {
    let url = format!("http://127.0.0.1:{port}");
    Program::start(pgfan().args(["listen", "--url", &url]).args(arguments))
}
