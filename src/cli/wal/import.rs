//! `engraft wal import-engram`: a new space, made of a directory of Engram's.

use ::core::fmt::Write;
use std::path::{Path, PathBuf};

use clap::Args;

use crate::core::ReplicationConfig;
use crate::driver::config::NodeConfig;
use crate::driver::wal_worker::{ImportOptions, StorageOptions, import_engram};
use crate::types::{ClusterId, Incarnation, NodeId, SpaceName};
use crate::wal::{IMPORT_REPORT, ImportError, ImportReport, StdDisk, StorageOpenError, Superblock, WalError};

use super::super::config::OverrideArguments;
use super::super::exit::{Exit, Failure};
use super::super::output::print;
use crate::driver::boot::{boot_id, fresh_incarnation};

/// What to import, and into which node's data directory. The node must not run, and has to be the space's primary.
#[derive(Debug, Args)]
pub struct ImportArguments {
    /// A directory of Engram's. It is only read; Engram must not write to it meanwhile.
    directory: PathBuf,
    /// The new space.
    #[arg(long, value_name = "NAME", value_parser = SpaceName::new)]
    space: SpaceName,
    /// The node's configuration.
    #[arg(long, env = "ENGRAFT_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    overrides: OverrideArguments,
    /// The node's data directory; over that of the configuration.
    #[arg(long, env = "ENGRAFT_DATA_DIR", value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// The node's id, where the data directory is new and there is no configuration.
    #[arg(long, env = "ENGRAFT_NODE", value_name = "ID", value_parser = clap::value_parser!(u16).range(1..))]
    node: Option<u16>,
    /// The cluster's name, where the data directory is new and there is no configuration.
    #[arg(long, env = "ENGRAFT_CLUSTER", value_name = "NAME")]
    cluster: Option<String>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// The node whose directory it is, as far as an import needs it.
struct Target {
    storage: StorageOptions,
    entry_bytes_max: u64,
    /// Whether the space still has to be written into the configuration.
    configured: bool,
}

pub(super) fn run(arguments: &ImportArguments) -> Result<(), Failure> {
    let Target { storage, entry_bytes_max, configured } = target(arguments)?;
    // The report names the source by a path that holds from anywhere.
    let source = std::path::absolute(&arguments.directory).unwrap_or_else(|_| arguments.directory.clone());
    let import = ImportOptions { source, space: arguments.space.clone(), entry_bytes_max };
    let report = import_engram(&StdDisk, &storage, &import).map_err(|error| refused(&error))?;
    let space = storage.directory.join("spaces").join(arguments.space.as_str());
    let file = space.join(IMPORT_REPORT);
    if arguments.json {
        let mut object =
            serde_json::to_value(&report).map_err(|error| Failure::failed(format!("no report: {error}")))?;
        if let Some(object) = object.as_object_mut() {
            object.insert("directory".to_owned(), space.to_string_lossy().into());
            object.insert("report".to_owned(), file.to_string_lossy().into());
        }
        print(&format!("{object}\n"))?;
    } else {
        print(&table(&report, &file))?;
    }
    for damage in &report.damage {
        eprintln!("warning: {} at {}: {}", damage.file, damage.offset, damage.reason);
    }
    if !configured {
        let (space, node) = (&arguments.space, storage.node.0);
        eprintln!(
            "note: name the space in every node's configuration: [[spaces]] name = \"{space}\", primary = {node}"
        );
    }
    Ok(())
}

fn target(arguments: &ImportArguments) -> Result<Target, Failure> {
    if let Some(file) = &arguments.config {
        return configured(arguments, file);
    }
    let Some(directory) = &arguments.data_dir else {
        return Err(Failure::usage("expected --config FILE or --data-dir DIR: whose new space is it to be?"));
    };
    let (cluster, node) = identity(arguments, directory)?;
    Ok(Target {
        storage: StorageOptions::new(directory.clone(), cluster, node, fresh_incarnation(), boot_id()),
        entry_bytes_max: ReplicationConfig::new(node, cluster, Incarnation([0; 16]), Vec::new()).entry_bytes_max,
        configured: false,
    })
}

fn configured(arguments: &ImportArguments, file: &Path) -> Result<Target, Failure> {
    let mut overrides = arguments.overrides.overrides();
    if let Some(directory) = &arguments.data_dir {
        overrides.flags.push(("data_dir".to_owned(), directory.to_string_lossy().into_owned()));
    }
    let config = NodeConfig::load(file, &overrides)?;
    let space = config.space(arguments.space.as_str());
    if let Some(space) = space.filter(|space| space.config.primary != config.node) {
        let (name, primary, node) = (&space.name, space.config.primary, config.node);
        return Err(Failure::new(
            Exit::Configuration,
            format!("the primary of {name} is {primary}, and this is {node}: import on {primary}, the others get it"),
        ));
    }
    Ok(Target {
        storage: config.node_options(fresh_incarnation(), boot_id()).storage,
        entry_bytes_max: config.replication.entry_bytes_max,
        configured: space.is_some(),
    })
}

/// Whose directory it is: what stands in it, or what the arguments say of a new one.
fn identity(arguments: &ImportArguments, directory: &Path) -> Result<(ClusterId, NodeId), Failure> {
    let cluster = match &arguments.cluster {
        Some(name) => Some(ClusterId::from_name(name).map_err(|error| Failure::usage(error.to_string()))?),
        None => None,
    };
    let node = arguments.node.map(NodeId);
    let found = Superblock::load(&StdDisk, directory).map_err(|error| refused(&error.into()))?;
    if let Some(found) = found {
        return Ok((cluster.unwrap_or(found.block.cluster), node.unwrap_or(found.block.node)));
    }
    let (Some(cluster), Some(node)) = (cluster, node) else {
        return Err(Failure::usage(format!(
            "{} is no node's data directory yet: say whose it will be by --config FILE, or by --cluster NAME and --node ID",
            directory.display()
        )));
    };
    Ok((cluster, node))
}

/// The report for people.
fn table(report: &ImportReport, file: &Path) -> String {
    let mut text = String::new();
    let mut row = |name: &str, value: String| {
        // Writing into a string cannot fail.
        let _ = writeln!(text, "{name:<12}{value}");
    };
    row("space", report.space.to_string());
    row("entries", format!("{} of {} bytes from {} segments", report.entries, report.bytes, report.segments));
    row("sequences", format!("#{} to #{}, {}", report.first_sequence, report.last_sequence, report.epoch));
    if let (Some(first), Some(last)) = (report.engram_first_sequence, report.engram_last_sequence) {
        row("in engram", format!("#{first} to #{last}"));
    }
    if report.duplicates > 0 {
        row("duplicates", format!("{} entries whose number was seen before, imported as well", report.duplicates));
    }
    if let Some(torn) = &report.torn_tail {
        row("torn tail", format!("{} at {}, not imported", torn.file, torn.offset));
    }
    if !report.damage.is_empty() {
        row("damage", format!("{} places", report.damage.len()));
    }
    row("report", file.display().to_string());
    text
}

/// Why there is no new space, by whose fault it is.
fn refused(error: &ImportError) -> Failure {
    let exit = match error {
        ImportError::Nothing { .. } | ImportError::NotEngram { .. } => Exit::Usage,
        ImportError::Storage(
            StorageOpenError::OtherCluster { .. }
            | StorageOpenError::OtherNode { .. }
            | StorageOpenError::Option { .. },
        ) => Exit::Configuration,
        ImportError::Storage(StorageOpenError::Superblock { .. } | StorageOpenError::MemoryLost { .. })
        | ImportError::Storage(StorageOpenError::Wal(WalError::Corrupt { .. }))
        | ImportError::Wal(WalError::Corrupt { .. }) => Exit::Corruption,
        ImportError::Storage(
            StorageOpenError::Wal(_) | StorageOpenError::Locked { .. } | StorageOpenError::Version { .. },
        )
        | ImportError::SpaceExists { .. }
        | ImportError::SpaceRemembered { .. }
        | ImportError::TooLarge { .. }
        | ImportError::Changed { .. } => Exit::Failed,
        ImportError::Wal(WalError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => Exit::Usage,
        ImportError::Wal(_) => Exit::Failed,
    };
    Failure::new(exit, format!("nothing was imported: {error}"))
}
