//! The process: parse, run the chosen command, exit code.

use std::process::ExitCode;

use mimalloc::MiMalloc;

/// Readers by the thousand are many things of few sizes: kept together by size
/// they are quicker to find, and idle ones take less.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    pgfan::cli::main()
}
