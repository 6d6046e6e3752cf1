//! The binary `engraft-sim`: run, sweep, minimise, show.

extern crate alloc;

mod command;

fn main() -> std::process::ExitCode {
    command::main()
}
