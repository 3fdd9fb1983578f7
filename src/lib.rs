//! pgfan takes PostgreSQL `NOTIFY` over one database connection and fans it
//! out over WebSocket, Server-Sent Events and gRPC, on one port.
//!
//! # The route of an event
//!
//! ```text
//! PostgreSQL ─► source ─► hub ─► transport ─► readers
//!                 ▲        │
//!                 └─demand─┘      the channels somebody reads
//!                 ◄──────publish──────┘  the way back
//! ```
//!
//! 1. [`source`] holds the one listening session, and says what it hears.
//! 2. [`app`] pumps that into [`hub`], which gives each notification its id,
//!    keeps it for a while and wakes the readers of its channel.
//! 3. [`transport`] has an adapter for each wire; each of its readers is a
//!    position in the hub's log. A reader that sleeps at the log's head and has
//!    a socket of its own is not woken for an event: one of the hub's writers
//!    puts it into the socket.
//!
//! At the other end of a wire is [`client`], the reader and publisher that the
//! commands are.
//!
//! Arrows never run back: the source knows no hub, the hub no transport, and
//! what both ends of an arrow share is in [`event`], [`demand`], [`publish`] and
//! [`proto`]. Only [`config`] reads the environment. Each layer counts what it
//! does by itself, with [`count`]; [`telemetry`] looks at the numbers when it is
//! asked for the metrics.
//!
//! # Words
//!
//! A *notification* is what PostgreSQL said, an *event* the same after the hub
//! gave it an id, a *delivery* what a reader gets. A *channel* is always
//! PostgreSQL's. A *gap* says that something may be missing; *interrupted*
//! and *live* say whether anything can come at all.
//!
//! # What holds
//!
//! - A reader gets every event of its channels once, in commit order, or a gap
//!   in its place: never silence, never a part.
//! - `ready` follows, in this order: LISTEN committed, reader registered,
//!   position taken, everything delivered that a cursor asked for.
//! - Nothing a reader does holds up the source or another reader.
//! - An event is encoded once for each wire, by the first reader that needs it.
//! - Everything is bounded, and says what happens at its limit.

pub mod channel_demand;
pub mod event;
pub mod instruments;
mod outgoing;
pub mod proto;
pub mod publish;
pub mod temp_postgres;

pub mod source;

pub mod hub;

pub mod auth;
pub mod transport;

pub mod client;

pub mod app;
mod backoff;
mod certificate;
pub mod cli;
pub mod config;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzz;
pub mod service_manager;
pub mod shutdown;
pub mod telemetry;
mod text;
pub mod turns;
