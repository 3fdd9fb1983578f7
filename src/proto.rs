//! The messages of the gRPC API and its client, generated from `proto/`.

#![allow(missing_docs, clippy::all)]

tonic::include_proto!("pgfan.v1");

/// The encoded file descriptors, for server reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/pgfan_descriptor.bin"));

/// The domain of the `ErrorInfo` in a status of this API.
pub const ERROR_DOMAIN: &str = "pgfan";
