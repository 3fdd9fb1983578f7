//! pgfan takes PostgreSQL `NOTIFY` over one database connection and fans it
//! out over WebSocket, Server-Sent Events and gRPC, on one port.
//!
//! # The route of an event
//!
//! ```text
//! PostgreSQL ─► source ─► hub ─► transport ─► readers
//!                 ▲        │         │
//!                 └────────┘         │   channel_demand: the channels to LISTEN to
//!                 ◄──────────────────┘   publish: notifications of clients
//! ```
//!
//! 1. [`source`] holds the listening session and emits a stream of
//!    [`source::SourceItem`]s.
//! 2. [`app`] passes them to [`hub`], which assigns each notification an id, keeps
//!    it in a bounded history and wakes the readers of its channel.
//! 3. [`transport`] delivers: each reader is a position in the hub's log. If a reader
//!    is idle at the head of the log and has a socket of its own, a fan-out worker
//!    of the hub writes the event to the socket directly, without waking the reader.
//!
//! # Where things are
//!
//! | module | content |
//! | --- | --- |
//! | [`event`], [`channel_demand`], [`publish`], [`proto`] | types that both ends of an arrow share |
//! | [`source`] | the listening session, the auxiliary session, libpq's connection strings |
//! | [`hub`] | ids (`ingest`, `log`), subscriptions (`subscription`, `join`), readers that the log overtook (`reader`), fan-out to idle readers (`fanout_worker`, `direct_slot`) |
//! | [`auth`] | tokens, keys, tickets, grants |
//! | [`transport`] | one room for each wire, over `access`, `connection` and `delivery`; sockets that take nothing: `connection/tcp`, `connection/http2`, `grpc/stream` |
//! | [`client`] | the reader and publisher of the commands |
//! | [`config`] | flags, environment and file; nothing else reads the environment |
//! | [`app`], [`cli`] | assembly of a gateway; the commands |
//! | [`instruments`], [`telemetry`] | counters and histograms of each layer; their names, the log, OTLP |
//! | [`temp_postgres`] | a temporary PostgreSQL server for the demo and the tests |
//! | [`shutdown`], [`service_manager`] | the end of a gateway, messages to systemd |
//! | `outgoing`, `certificate`, `bounded_file`, `backoff`, `text`, [`turns`] | parts that several of these share |
//!
//! Arrows never run back: the source does not know the hub, and the hub does not
//! know the transports. `tests/gateway/layering.rs` checks that. `docs/architecture.md`
//! follows one event, one subscribe and one lost session through the files.
//!
//! # Terms
//!
//! A *notification* is a message from PostgreSQL, an *event* the same message with
//! the id that the hub assigned, a *delivery* an item of a reader's stream. A
//! *channel* is always PostgreSQL's. A *gap* means that something may be missing;
//! *interrupted* and *live* report whether the source is connected. A *wire* is a
//! protocol as readers see it, a *form* its encoding of an event, a *room* a module of
//! `transport`.
//!
//! # Invariants
//!
//! - A reader gets every event of its channels once, in commit order, or a gap
//!   in its place.
//! - `ready` follows, in this order: reader registered with its channels, LISTEN
//!   committed, position taken, everything delivered that a cursor asked for.
//! - A reader never delays the source or another reader.
//! - An event is encoded once for each form of a wire, by the reader or worker that
//!   needs it first.
//! - Everything is bounded and documents what happens at its limit.

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
mod bounded_file;
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
