//! What the tests of processes share.

use std::process::{Command, Output};

/// The binary, with nothing of the tester's own configuration in its environment.
pub(crate) fn engraft() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_engraft"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("ENGRAFT_")) {
        command.env_remove(name);
    }
    command
}

/// The exit code; a process that a signal ended has none.
pub(crate) fn code(output: &Output) -> Option<i32> {
    output.status.code()
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
