//! `engraft completions`: what a shell completes the commands with.

use clap::{Args, Command};
use clap_complete::Shell;

use super::exit::Failure;
use super::output::print;

/// For which shell.
#[derive(Debug, Args)]
pub struct CompletionsArguments {
    /// The shell.
    shell: Shell,
}

/// Prints the script, for the shell to source.
pub(super) fn run(arguments: &CompletionsArguments, mut command: Command) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut command, "engraft", &mut script);
    print(&String::from_utf8_lossy(&script))
}
