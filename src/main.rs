//! The process: parse, run the chosen command, exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    pgfan::cli::main()
}
