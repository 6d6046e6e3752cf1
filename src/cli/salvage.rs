//! `engraft salvage`: entries that were truncated because the primary's log went on without them.
//!
//! All of it only reads, and nobody needs to be stopped for it. A file is read and checked whole before anything of it
//! is printed.

use ::core::fmt::Write;
use std::io;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::{Args, Subcommand};
use serde_json::json;

use crate::types::{Control, Entry, SpaceName};
use crate::wal::salvage::{SALVAGE, SalvageError, SalvageFile, SalvageHeader};
use crate::wal::{Disk, StdDisk, StdFile, WalError};

use super::exit::{Exit, Failure};
use super::output::Output;

/// What to do with salvaged entries.
#[derive(Debug, Subcommand)]
pub enum SalvageCommand {
    /// Print a line for each salvage file; exit 4 where one does not hold.
    List(ListArguments),
    /// Print a line for each entry.
    Show(ShowArguments),
    /// Print the users' payloads and nothing else, each with a line's end behind it, as `engraft append` reads them.
    Export(ExportArguments),
}

/// Which files.
#[derive(Debug, Args)]
pub struct FileArguments {
    /// A node's data directory, or a salvage file.
    directory: PathBuf,
    /// Only this space of a data directory.
    #[arg(long, value_name = "NAME", value_parser = SpaceName::new)]
    space: Option<SpaceName>,
}

/// Which files to list, and how.
#[derive(Debug, Args)]
pub struct ListArguments {
    #[command(flatten)]
    files: FileArguments,
    /// Print a JSON object for each file.
    #[arg(long)]
    json: bool,
}

/// Which entries to show, and how.
#[derive(Debug, Args)]
pub struct ShowArguments {
    #[command(flatten)]
    files: FileArguments,
    /// Print a JSON object for each entry.
    #[arg(long)]
    json: bool,
    /// Print the payloads as well: base64 in JSON, otherwise text with escapes.
    #[arg(long)]
    payload: bool,
}

/// Which entries to export, and how.
#[derive(Debug, Args)]
pub struct ExportArguments {
    #[command(flatten)]
    files: FileArguments,
    /// Print a JSON object for each entry, its payload in base64.
    #[arg(long)]
    json: bool,
}

/// Runs it.
pub(super) fn run(command: &SalvageCommand) -> Result<(), Failure> {
    match command {
        SalvageCommand::List(arguments) => list(arguments),
        SalvageCommand::Show(arguments) => {
            let show = |file: &str, entry: &Entry, output: &mut Output| {
                let payload = arguments.payload.then_some(entry);
                output.line(&if arguments.json {
                    entry_json(file, entry, payload)
                } else {
                    shown(file, entry, payload)
                })
            };
            each_entry(&arguments.files, show)
        }
        SalvageCommand::Export(arguments) => each_entry(&arguments.files, |file, entry, output| {
            if entry.header.control().kind != Control::USER {
                return Ok(true);
            }
            if arguments.json {
                return output.line(&entry_json(file, entry, Some(entry)));
            }
            Ok(output.bytes(&entry.payload)? && output.text("\n")?)
        }),
    }
}

/// A damaged file does not keep the others from being listed.
fn list(arguments: &ListArguments) -> Result<(), Failure> {
    let mut output = Output::new();
    let mut failures = Vec::new();
    for (name, path) in files(&arguments.files)? {
        let line = match SalvageFile::open(&StdDisk, &path) {
            Ok(file) if arguments.json => header_json(&name, file.header()),
            Ok(file) => listed(&name, file.header()),
            Err(error) => {
                failures.push(refused(&error));
                continue;
            }
        };
        if !output.line(&line)? {
            return Ok(());
        }
    }
    output.finish()?;
    let Some((last, others)) = failures.split_last() else { return Ok(()) };
    for failure in others {
        eprintln!("error: {failure}");
    }
    Err(last.clone())
}

/// Does something with each entry, until nobody reads any more.
fn each_entry(
    arguments: &FileArguments,
    print: impl Fn(&str, &Entry, &mut Output) -> Result<bool, Failure>,
) -> Result<(), Failure> {
    let mut output = Output::new();
    for (name, path) in files(arguments)? {
        let file: SalvageFile<StdFile> = SalvageFile::open(&StdDisk, &path).map_err(|error| refused(&error))?;
        for entry in file.entries() {
            let entry = entry.map_err(|error| refused(&error))?;
            if !print(&name, &entry, &mut output)? {
                return Ok(());
            }
        }
    }
    output.finish()
}

/// The salvage files, by the name that they have in the data directory.
fn files(arguments: &FileArguments) -> Result<Vec<(String, PathBuf)>, Failure> {
    let directory = &arguments.directory;
    if directory.is_file() {
        return Ok(vec![(directory.display().to_string(), directory.clone())]);
    }
    StdDisk.list(directory).map_err(|error| system(directory, &error))?;
    let all = directory.join(SALVAGE);
    let spaces = match &arguments.space {
        Some(space) => vec![space.as_str().to_owned()],
        None => names(&all, false)?,
    };
    let mut files = Vec::new();
    for space in spaces {
        let of_space = all.join(&space);
        let named = names(&of_space, true)?.into_iter().filter(|name| name.starts_with("salvage-"));
        files.extend(named.map(|name| (format!("{SALVAGE}/{space}/{name}"), of_space.join(name))));
    }
    if files.is_empty() {
        // A wrong path must not look like a node that lost nothing.
        eprintln!("warning: nothing was salvaged in {}", directory.display());
    }
    Ok(files)
}

/// The names of files, or of directories, in a directory; none where it is not there.
fn names(directory: &Path, of_files: bool) -> Result<Vec<String>, Failure> {
    match StdDisk.list(directory) {
        Ok(found) => Ok(found.into_iter().filter(|entry| entry.is_file == of_files).map(|entry| entry.name).collect()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(system(directory, &error)),
    }
}

fn header_json(name: &str, header: &SalvageHeader) -> String {
    let SalvageHeader { node, space, by, first, last, entries, bytes, .. } = header;
    json!({
        "file": name, "space": space, "node": node, "by": by.to_string(), "entries": entries, "bytes": bytes,
        "first_sequence": first.sequence, "first_epoch": first.epoch.to_string(),
        "last_sequence": last.sequence, "last_epoch": last.epoch.to_string(),
    })
    .to_string()
}

fn listed(name: &str, header: &SalvageHeader) -> String {
    let SalvageHeader { node, by, first, last, entries, bytes, .. } = header;
    let (from, to) = (format!("{}{}", first.epoch, first.sequence), format!("{}{}", last.epoch, last.sequence));
    format!("{name} of {node}: {entries} entries of {bytes} bytes, {from} to {to}, replaced by {by}")
}

fn entry_json(name: &str, entry: &Entry, payload: Option<&Entry>) -> String {
    let header = &entry.header;
    let mut line = json!({
        "file": name, "sequence": header.sequence(), "epoch": header.epoch().to_string(),
        "type": header.entry_type().number(), "timestamp": header.timestamp(), "size": header.payload_size(),
        "payload_crc": header.payload_crc(),
    });
    if let Some(line) = line.as_object_mut() {
        if header.control().kind != Control::USER {
            line.insert("control".to_owned(), header.control().kind.into());
        }
        if let Some(Entry { payload, .. }) = payload {
            line.insert("payload".to_owned(), STANDARD.encode(payload).into());
        }
    }
    line.to_string()
}

fn shown(name: &str, entry: &Entry, payload: Option<&Entry>) -> String {
    let header = &entry.header;
    let (epoch, sequence, kind) = (header.epoch(), header.sequence(), header.control().kind);
    let (number, size) = (header.entry_type().number(), header.payload_size());
    let mut text = format!("{name} {epoch}{sequence} type {number} {size} bytes {:08x}", header.payload_crc());
    // Writing into a string cannot fail.
    if kind != Control::USER {
        let _ = write!(text, " control {kind}");
    }
    if let Some(Entry { payload, .. }) = payload {
        let _ = write!(text, " \"{}\"", payload.escape_ascii());
    }
    text
}

/// A file that is not believed, by whose fault it is.
fn refused(error: &SalvageError) -> Failure {
    match error {
        SalvageError::Wal(WalError::Io { path, source, .. }) => system(path, source),
        SalvageError::Corrupt { .. } => Failure::new(Exit::Corruption, error.to_string()),
        SalvageError::Version { .. } | SalvageError::Wal(_) => Failure::failed(error.to_string()),
    }
}

/// A path that is not there is a mistake in the arguments; everything else is the system's.
fn system(path: &Path, error: &io::Error) -> Failure {
    if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) {
        let expected = "expected a node's data directory, or a salvage file";
        return Failure::usage(format!("{}: {error}; {expected}", path.display()));
    }
    Failure::failed(format!("{}: {error}", path.display()))
}
