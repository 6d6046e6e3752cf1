//! The commands of the binary.
//!
//! Data goes to stdout, logs and errors to stderr.
//! The exit code says what came of it: see [`Exit`].

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub mod bench;
pub mod config;
mod exit;
mod log;
pub mod serve;
mod signal;

pub use exit::{Exit, Failure};

/// Replicates write-ahead logs.
///
/// Exit codes: 0 ok, 1 failed, 2 usage, 3 configuration, 4 corruption, 5 not primary, 6 unreachable, 7 lag over limit.
#[derive(Debug, Parser)]
#[command(name = "engraft", version, disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a node: the first line on stdout tells its addresses once it serves.
    Serve(serve::ServeArguments),
    /// Look at a configuration.
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// Measure this build on this machine, beside what the machine does without it.
    Bench(bench::BenchArguments),
}

/// Runs the command that the arguments name and says with what to exit.
///
/// Whatever goes wrong is told on stderr, in one message.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version are no errors; clap prints each to where it belongs.
            let exit = if error.use_stderr() { Exit::Usage } else { Exit::Ok };
            let _ = error.print();
            return exit.into();
        }
    };
    let result = match arguments.command {
        Command::Serve(arguments) => serve::run(&arguments),
        Command::Config(command) => config::run(&command),
        Command::Bench(arguments) => bench::run(&arguments),
    };
    match result {
        Ok(()) => Exit::Ok.into(),
        Err(failure) => {
            eprintln!("error: {failure}");
            failure.exit.into()
        }
    }
}
