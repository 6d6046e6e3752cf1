//! The commands of the binary.
//!
//! Data goes to stdout, logs and errors to stderr.
//! The exit code says what came of it: see [`Exit`].

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

pub mod append;
pub mod bench;
pub mod client;
pub mod completions;
pub mod config;
pub mod demo;
pub mod diagnostics;
mod exit;
mod log;
pub mod nodes;
mod output;
pub mod promote;
pub mod read;
pub mod salvage;
pub mod serve;
mod signal;
pub mod status;
mod supervisor;
pub mod wal;

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
    /// Append the lines of a file or of stdin, each as an entry.
    Append(append::AppendArguments),
    /// Print committed entries, from any node.
    Read(read::ReadArguments),
    /// Show how nodes, spaces and replicas do; exit 7 where a replica lags more than it may.
    Status(status::StatusArguments),
    /// Make a node the primary of a space: by election, or by force where a majority is gone for good.
    Promote(promote::PromoteArguments),
    /// Run three nodes on this machine, kill one while writing, and count what every node has afterwards.
    Demo(demo::DemoArguments),
    /// Look at the files of a log.
    #[command(subcommand)]
    Wal(wal::WalCommand),
    /// Look at entries that were truncated because the primary's log went on without them.
    #[command(subcommand)]
    Salvage(salvage::SalvageCommand),
    /// Look at a configuration.
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// Write down what a node is and how it does, for those who are asked for help: no payloads, no secrets.
    Diagnostics(diagnostics::DiagnosticsArguments),
    /// Print what a shell completes these commands with.
    Completions(completions::CompletionsArguments),
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
        Command::Append(arguments) => append::run(&arguments),
        Command::Read(arguments) => read::run(&arguments),
        Command::Status(arguments) => status::run(&arguments),
        Command::Promote(arguments) => promote::run(&arguments),
        Command::Diagnostics(arguments) => diagnostics::run(&arguments),
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Wal(command) => wal::run(&command),
        Command::Salvage(command) => salvage::run(&command),
        Command::Config(command) => config::run(&command),
        Command::Completions(arguments) => completions::run(&arguments, Arguments::command()),
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
