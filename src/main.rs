//! Process entry: parse, run the chosen command, exit code.

use std::process::ExitCode;

use mimalloc::MiMalloc;

/// Thousands of readers are many allocations of few sizes: an allocator that
/// groups them by size finds them faster, and idle readers take less memory.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    pgfan::cli::main()
}
