//! Compiles `proto/` with protox, a compiler in Rust: no `protoc` is needed.

use std::{env, error::Error, fs, path::PathBuf};

use prost::Message;

#[allow(
    clippy::disallowed_methods,
    reason = "cargo speaks to it through variables"
)]
fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    let descriptors = protox::Compiler::new(["proto"])?
        .include_source_info(true)
        .include_imports(true)
        .open_files(["pgfan/v1/pgfan.proto"])?
        .file_descriptor_set();
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(
        out.join("pgfan_descriptor.bin"),
        descriptors.encode_to_vec(),
    )?;
    tonic_prost_build::configure()
        .build_transport(false)
        .build_server(false)
        .compile_fds(descriptors.clone())?;
    // The server's responses are bytes that were encoded once for all readers.
    let server = out.join("server");
    fs::create_dir_all(&server)?;
    tonic_prost_build::configure()
        .build_transport(false)
        .build_client(false)
        .out_dir(server)
        .extern_path(".pgfan.v1", "crate::proto")
        .extern_path(
            ".pgfan.v1.SubscribeResponse",
            "crate::transport::grpc::encoded::Encoded",
        )
        .codec_path("crate::transport::grpc::encoded::Codec")
        .compile_fds(descriptors)?;
    Ok(())
}
