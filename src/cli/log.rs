//! Logs, on stderr.

use std::io::IsTerminal;

use clap::{Args, ValueEnum};
use tracing_subscriber::EnvFilter;

use super::exit::Failure;

/// How logs look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object per line.
    Json,
}

/// What is logged, and how.
#[derive(Debug, Clone, Args)]
pub(super) struct LogArguments {
    /// What is logged to stderr: a level (error, warn, info, debug, trace), or directives such as `info,engraft=debug`.
    #[arg(long, env = "ENGRAFT_LOG", default_value = "info", value_name = "FILTER")]
    log: String,
    /// How logs look.
    #[arg(long, env = "ENGRAFT_LOG_FORMAT", value_enum, default_value = "text")]
    log_format: LogFormat,
}

impl LogArguments {
    /// Logs from here on. Called once in a process.
    pub(super) fn start(&self) -> Result<(), Failure> {
        let filter = EnvFilter::try_new(&self.log).map_err(|error| {
            let found = &self.log;
            Failure::usage(format!(
                "--log: expected a filter such as `info` or `engraft=debug`, found {found:?}: {error}"
            ))
        })?;
        // Colours are for people at a terminal.
        let colours = std::io::stderr().is_terminal();
        let builder = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colours);
        // A line that cannot be written is lost. To say so on stderr as well would fail in the same way, by a panic that
        // takes the node with it where its logs lie on a full disk.
        let builder = builder.with_writer(std::io::stderr).log_internal_errors(false);
        let started = match self.log_format {
            LogFormat::Text => builder.try_init(),
            LogFormat::Json => builder.json().try_init(),
        };
        started.map_err(|error| Failure::failed(format!("cannot log: {error}")))
    }
}
