//! `engraft config`: whether a configuration holds, and what it comes to.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::driver::config::{NodeConfig, Overrides};

use super::exit::Failure;
use super::output::print;

/// What to do with a configuration.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Check it, as `serve` would; exit 3 where it does not hold.
    Check(ConfigArguments),
    /// Print the effective one, every default spelt out, as TOML that `serve` takes.
    Print(ConfigArguments),
}

/// Which configuration.
#[derive(Debug, Args)]
pub struct ConfigArguments {
    /// The TOML file.
    file: PathBuf,
    #[command(flatten)]
    overrides: OverrideArguments,
}

/// Values that come over those of the file and of the environment.
#[derive(Debug, Clone, Args)]
pub struct OverrideArguments {
    /// A value to put over the file's, such as `replication.batch_entries=500`; may be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = parse_override)]
    set: Vec<(String, String)>,
}

fn parse_override(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=').filter(|(key, _)| !key.trim().is_empty());
    let (key, value) = pair.ok_or("expected KEY=VALUE, such as replica_count=1")?;
    Ok((key.trim().to_owned(), value.trim().to_owned()))
}

impl OverrideArguments {
    /// The environment and these flags.
    #[must_use]
    pub fn overrides(&self) -> Overrides {
        Overrides::from_process(self.set.clone())
    }
}

/// Runs it.
pub(super) fn run(command: &ConfigCommand) -> Result<(), Failure> {
    match command {
        ConfigCommand::Check(arguments) => {
            let config = load(arguments)?;
            let spaces: Vec<&str> = config.own_spaces().map(|space| space.name.as_str()).collect();
            print(&format!(
                "{}: ok: {} of {:?}, {} peers, spaces: {}\n",
                arguments.file.display(),
                config.node,
                config.cluster,
                config.peers.len(),
                if spaces.is_empty() { "none".to_owned() } else { spaces.join(", ") }
            ))
        }
        ConfigCommand::Print(arguments) => print(&load(arguments)?.to_toml()),
    }
}

fn load(arguments: &ConfigArguments) -> Result<NodeConfig, Failure> {
    Ok(NodeConfig::load(&arguments.file, &arguments.overrides.overrides())?)
}
