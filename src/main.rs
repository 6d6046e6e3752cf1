//! The binary of engraft.

use std::process::ExitCode;

fn main() -> ExitCode {
    engraft::cli::run(std::env::args_os())
}
